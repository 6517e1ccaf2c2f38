"""Viewpoints to choose from: where they stand, what they keep clear of, what they see."""
