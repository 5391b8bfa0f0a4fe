"""The local stack: a Prefect server, an MLflow server and workers as processes of this machine."""
