"""Images to defect probability: exposure stack, crops, models, training, metrics."""
