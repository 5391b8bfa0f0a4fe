"""MLflow's files in a local folder, whatever its name: a plugin that MLflow loads in every process of this environment.

MLflow takes the path of a folder for an address and decodes it, so a model below `a%20b` is looked for in `a b`.
"""

import os

from mlflow.store.artifact import artifact_repository_registry
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository


class LocalFiles(LocalArtifactRepository):
    """The repository of `file:` addresses and of plain paths; a path that exists is taken as it is."""

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        if not artifact_uri.startswith("file:") and os.path.exists(artifact_uri):  # noqa: PTH110 - as MLflow asks
            self._artifact_dir = artifact_uri


# An entry point bears the name of a scheme, and plain paths have none. MLflow loads this while it fills the registry.
artifact_repository_registry._artifact_repository_registry.register("", LocalFiles)
