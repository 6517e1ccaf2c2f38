"""What a model finds: evidence of all views, defects, probability of detection, effective coverage."""
