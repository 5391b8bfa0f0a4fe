"""Stage 7: features → labels over time."""
