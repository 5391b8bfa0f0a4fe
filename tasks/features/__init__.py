"""Stage 6: frames and sound → the feature space of YouTube-8M."""
