"""Stage 4: Parquet → weights: models, metrics, training, MLflow."""
