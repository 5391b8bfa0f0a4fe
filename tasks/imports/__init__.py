"""Datasets of one's own videos: what is labelled, which side of a split it is on, and the parts made of it."""
