"""From the name of a label to videos labelled second by second."""
