"""MLflow: runs, registry, comparison, promotion."""
