"""Settings that belong to no single stage: what a run takes when it is not told otherwise.

In: values from TOML, the environment or a form. Out: frozen sections of `Settings`.
Does not know how they are layered.
"""

from typing import Literal

from pydantic import Field

from tasks.contracts.artifacts import VOCABULARY_SIZE
from tasks.contracts.model import FrozenModel


class FilterSection(FrozenModel):
    """How records are filtered; the labels themselves are named with each run."""

    background: int | Literal["all"] = Field(
        default="all", description="unmatched videos kept for each match, so that a model learns what is not it"
    )
    vocabulary_size: int = Field(
        default=VOCABULARY_SIZE, ge=1, le=1_000_000, description="labels of the release; 4716 in early 2017"
    )
    check_crc: bool = Field(default=True, description="check the CRC-32C of every record")
    strict: bool = Field(default=False, description="fail on a damaged shard instead of reporting it")


class TrainSection(FrozenModel):
    """Which candidates are trained."""

    models: tuple[str, ...] = Field(
        default=("logistic", "moe", "gated"), min_length=1, description="presets; one candidate each"
    )
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of every candidate")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU where there is one")


class TrackingSection(FrozenModel):
    """Where models are kept and compared."""

    uri: str | None = Field(
        default=None, description="MLflow server, e.g. http://127.0.0.1:5000; default: a database in the home"
    )
    ui_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/@\s]+(/\S*)?$",
        description="where browsers find MLflow's pages, if not at the server's address; links lead there",
    )
    artifacts: str | None = Field(
        default=None,
        description="URI for the files of a database's new experiments, e.g. s3://BUCKET/mlflow; default: the home",
    )


class FlowSection(FrozenModel):
    """How patient flows are with a batch that fails, after the stages' own retries."""

    retries: int = Field(default=2, ge=0, le=20, description="further tries of a failed batch")
    retry_delay_s: float = Field(
        default=10.0, ge=0, le=3600, description="seconds before the first; doubles, with jitter"
    )
    runner: Literal["local", "dask"] = Field(
        default="local", description="what downloads and filters shards: threads here, or processes of a Dask cluster"
    )
    dask_address: str | None = Field(
        default=None, description="a Dask scheduler, e.g. tcp://10.0.0.7:8786; default: a cluster made here for the run"
    )
    dask_processes: int = Field(default=2, ge=1, le=256, description="processes of a cluster that is made here")
    videos_per_batch: int = Field(default=16, ge=1, le=10_000, description="videos that make one task run")
