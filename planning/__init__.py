"""Choosing viewpoints: candidates, selection, bounds, route."""
