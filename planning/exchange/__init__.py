"""Plans and viewpoints of other programs."""
