"""Stage 5: a file, URL or id → a video on the disk → frames and sound; and back to mp4."""
