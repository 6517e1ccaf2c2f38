"""The order of the views: tours, their bounds, cycle times."""
