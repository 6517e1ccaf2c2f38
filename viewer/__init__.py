"""Heatmaps, charts, window, comparison, report."""
