"""Stage 8: frames → objects and their tracks."""
