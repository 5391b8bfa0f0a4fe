"""Stage 9: results → plots and pages."""
