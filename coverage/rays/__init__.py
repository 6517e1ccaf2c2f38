"""What lies in the way: rays, rasters, and the tests that need no ray."""
