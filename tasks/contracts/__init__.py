"""What stages pass on to one another. Imports no stage."""
