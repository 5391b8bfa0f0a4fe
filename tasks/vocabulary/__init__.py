"""The vocabulary: what the labels are called."""
