"""Where the flows run: deployments and the local stack. The same flows run without any of it."""
