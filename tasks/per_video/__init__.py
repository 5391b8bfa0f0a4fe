"""What is done with one video, from its name to its folder, and with many, each failing alone."""
