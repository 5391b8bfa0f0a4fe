"""The environment variables that Prefect, MLflow and their integrations really read.

A variable that is misspelt is silently ignored by both, so files which nothing here can start are held to these.
"""

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import files
from pathlib import Path

from prefect.settings.base import PrefectBaseSettings

# Read by the database driver, boto3, CUDA, Numba and by convention, not by what is above.
OTHERS = frozenset({
    "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3", "AWS_SECRET_ACCESS_KEY",
    "CUDA_VISIBLE_DEVICES", "DO_NOT_TRACK", "GIT_PYTHON_REFRESH", "NUMBA_CACHE_DIR",
    "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_VISIBLE_DEVICES", "PATH", "PGPASSWORD", "PYTHONUNBUFFERED",
})  # fmt: skip
# MLflow's own way of naming who talks to a server; read by mlflow.utils.credentials.
MLFLOW_CLIENT = frozenset({"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"})


def unreal(names: Iterable[str]) -> list[str]:
    """Return the names, of all but reelsift's own, that nothing reads."""
    real = {*_prefect(), *_mlflow(), *OTHERS, *MLFLOW_CLIENT}
    return sorted({name for name in names if not name.startswith("REELSIFT_")} - real)


def _prefect() -> set[str]:
    from prefect.settings.legacy import _get_valid_setting_names
    from prefect.settings.models.root import Settings
    from prefect_kubernetes.settings import KubernetesSettings  # seconds, which not every process of tests need wait
    from prefect_redis.client import RedisMessagingSettings

    integrations = {*_variables(RedisMessagingSettings), *_variables(KubernetesSettings)}
    return {*_get_valid_setting_names(Settings), *integrations}


def _variables(settings: type[PrefectBaseSettings]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, PrefectBaseSettings):
            yield from _variables(field.annotation)
        else:
            yield f"{settings.model_config.get('env_prefix', '')}{name}".upper()


def _mlflow() -> set[str]:
    """Return MLflow's list, and what the options of `mlflow server` read; importing those would take seconds."""
    import mlflow.environment_variables

    listed = {name for name in dir(mlflow.environment_variables) if name.startswith("MLFLOW_")}
    sources = [
        path for path in files("mlflow") or () if str(path) in {"mlflow/cli/__init__.py", "mlflow/utils/cli_args.py"}
    ]
    assert len(sources) == 2
    options = [re.findall(r'envvar="(\w+)"', Path(str(path.locate())).read_text(encoding="utf-8")) for path in sources]
    return listed.union(*options)
