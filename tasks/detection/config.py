"""What is looked for in a video, and how closely.

In: values from `conf/`, a form or the command line. Out: a frozen `DetectOptions`. Does not know the detectors.
"""

from pydantic import Field, field_validator, model_validator

from tasks.contracts.errors import DetectorError
from tasks.contracts.model import FrozenModel
from tasks.detection.classes import COCO_CLASSES, canonical_classes

CLASS_NAMES = COCO_CLASSES  # the choices of a form


class DetectOptions(FrozenModel):
    """Everything that finding objects can be told, the detector itself left out."""

    rate_hz: float | None = Field(
        default=None, gt=0, le=240, description="frames a second that are looked at; none: every frame of the video"
    )
    every: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="of the frames looked at, detect on every N-th; tracks carry boxes to those between",
    )
    min_score: float | None = Field(
        default=None, ge=0, le=1, description="detections below this score do not count; none: the detector's own bound"
    )
    classes: tuple[str, ...] = Field(
        default=(), max_length=80, description="classes that count, e.g. bottle; none: all 80 of COCO"
    )
    tracks: bool = Field(default=True, description="follow each thing through the video")
    masks: bool = Field(default=True, description="keep the masks of a detector that gives them")
    annotate: bool = Field(default=True, description="write a copy with the boxes drawn, the sound kept")

    @field_validator("classes")
    @classmethod
    def _canonical(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Spell the classes as the detectors do, so that an unknown one is refused before anything is fetched."""
        return canonical_classes(names)

    @model_validator(mode="after")
    def _carried_by_tracks(self) -> "DetectOptions":
        if self.every > 1 and not self.tracks:
            raise DetectorError(f"every = {self.every} carries boxes by tracks: leave tracks on, or take every = 1.")
        return self
