"""What a run that hands videos to a pool, and the runs that work on them, tell each other.

In: nothing. Out: frozen values. Does not know how they travel.
"""

from typing import Any, Self

from pydantic import Field, JsonValue

from tasks.contracts.model import FrozenModel
from tasks.contracts.outcomes import VideoOutcome

# What a worker has in its environment, and every run of it inherits: its name, and the GPUs that it may use.
WORKER_VARIABLE = "REELSIFT_WORKER"
DEVICES_VARIABLE = "CUDA_VISIBLE_DEVICES"
BATCH_ID_PATTERN = r"^[0-9a-f]{12}$"


class BatchVideo(FrozenModel):
    """One source, and its place in the list that was given."""

    place: int = Field(ge=0)
    source: str


class BatchRequest(FrozenModel):
    """Videos that are one run's work, and what is wanted of them."""

    id: str = Field(pattern=BATCH_ID_PATTERN, description="of the sources and the form: the same work, the same id")
    videos: tuple[BatchVideo, ...] = Field(min_length=1)
    form: dict[str, JsonValue] = Field(description="the form of the flow that was started, its sources left out")
    expected_s: float = Field(ge=0, description="seconds of work, as far as was known")


class BatchRow(VideoOutcome):
    """What became of one video, and where."""

    place: int = Field(ge=0, description="in the list that was given: what a source is called may be shortened")
    batch: str | None = Field(default=None, description="id of its batch; None: it was there before any batch was made")
    run: str | None = Field(default=None, description="id of the flow run that worked on it")
    worker: str | None = Field(default=None, description="name of the worker")
    device: str | None = Field(default=None, description="what the worker's CUDA_VISIBLE_DEVICES said; None: unset")
    detector: str | None = Field(default=None, description="name of the detector that looked, and on what")

    @classmethod
    def of(cls, outcome: VideoOutcome, **about: Any) -> Self:  # noqa: ANN401 - the fields that an outcome has not
        """Put an outcome together with where it came about."""
        return cls.model_validate({**outcome.model_dump(), **about})
