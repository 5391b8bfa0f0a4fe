"""What a model gives for a video: scores over time, and the interface of all such models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.media import MediaFacts, ModelRecord
from tasks.contracts.progress import Progress
from tasks.labelling.config import LabelOptions
from tasks.video.config import MediaBounds


@dataclass(frozen=True)
class SecondScores:
    """What a model says of a video: T sampled frames, L labels."""

    times_s: NDArray[np.float64]  # (T,) seconds, rising
    scores: NDArray[np.float32]  # (T, L) in [0, 1], not smoothed
    video_scores: NDArray[np.float32]  # (L,) in [0, 1], of the video as a whole
    facts: MediaFacts
    frames_read: int
    corrupt_frames: int
    match_score: float | None = None  # probability that the video is of the dataset's kind, where the model says
    is_silent: bool | None = None  # the sound could not be used; None: it was not looked at


class Labeller(Protocol):
    """A model with all that lies between a file and its scores."""

    @property
    def record(self) -> ModelRecord:
        """What the model is, for manifests."""
        ...

    @property
    def label_ids(self) -> tuple[int, ...]:
        """Ids of the L labels, in the order of the scores."""
        ...

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the L labels."""
        ...

    def score(
        self, path: Path, bounds: MediaBounds, options: LabelOptions, progress: Progress | None = None
    ) -> SecondScores:
        """Score every sampled frame of a video, and the video as a whole.

        Raises:
            VideoError: the file is no video or picture, is broken or is out of bounds.
        """
        ...
