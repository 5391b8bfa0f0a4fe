"""What one stage hands the next. Knows no stage."""
