"""Finished things in an object store, where any machine finds them: S3, Google Cloud Storage, or a folder."""
