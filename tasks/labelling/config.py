"""Options of labelling, and the name of the built-in ImageNet model."""

from typing import Self

from pydantic import Field, model_validator

from tasks.contracts.model import FrozenModel
from tasks.tracking.registry import resolve
from tasks.tracking.store import TrackingStore


class LabelOptions(FrozenModel):
    """Everything that labelling can be told; equal options, content and model give the same labels."""

    rate_hz: float = Field(
        default=1.0,
        ge=0.01,
        le=60,
        description="sampled frames per second; features of YouTube-8M are one a second",
    )
    window: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="a sampled frame's score is the mean of this many predictions; 1: of its own alone",
    )
    centred: bool = Field(
        default=True,
        description="take as many predictions before a sampled frame as after it, so that labels begin and end with "
        "what they name; false: the last predictions, as one who watches live must, which lags",
    )
    enter: float = Field(default=0.5, gt=0, le=1, description="smoothed score from which a label holds")
    leave: float = Field(
        default=0.35, ge=0, le=1, description="smoothed score below which it no longer holds; at most `enter`"
    )
    shortest_s: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="seconds below which a segment is dropped, unless the video is shorter; where `centred`, of those "
        "from its first sampled frame to its last, so that it is seen for as long",
    )
    bridge_s: float = Field(
        default=0.0, ge=0, le=3600, description="seconds up to which a gap between two segments of one label is closed"
    )
    top_k: int = Field(default=5, ge=1, le=1000, description="labels that are named for the video as a whole")
    table_top: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="best labels that the table keeps of each sampled frame, beside those of segments",
    )
    annotate: bool = Field(default=True, description="write a copy of the video with the current labels drawn")
    keep_frames: bool = Field(default=False, description="keep the scored frames, labels drawn, as pictures")

    @model_validator(mode="after")
    def _leaves_below_where_it_enters(self) -> Self:
        if self.leave > self.enter:
            msg = f"`leave` is {self.leave}, over `enter` {self.enter}: a label would leave as it enters"
            raise ValueError(msg)
        return self


IMAGENET = "imagenet"  # the model that is embedded and needs no registry
AUTO = "auto"  # the newest champion whose features can be computed here, else imagenet


def exact_reference(reference: str, store: TrackingStore) -> str:
    """Return `imagenet`, or name/version of the registered model that a reference names now: an alias may move.

    Raises:
        UnknownModelError: there is no such model, or an alias names several.
        TrackingError: the registry cannot be read.
    """
    return reference if reference == IMAGENET else resolve(store, reference, others=[IMAGENET]).reference
