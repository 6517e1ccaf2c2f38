"""What joins several rooms: calibration, results, the summary, the gallery, conversion, the demo."""
