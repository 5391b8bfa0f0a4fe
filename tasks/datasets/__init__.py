"""Stage 3: parts → a dataset version: Parquet, manifest, digest, difference."""
