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

FIRST_ROWS = 64  # that there is room for at first


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


class GrowingRows:
    """Rows of float32 that come one by one, copied into one array, of which up to half is unused.

    Rows that a network gives are views of its own memory. Kept one by one among all that it allocates in between, they
    keep the allocator from giving that back: 208 kB a row.
    """

    def __init__(self, columns: int) -> None:
        self._held = np.empty((FIRST_ROWS, columns), np.float32)
        self._count = 0

    def add(self, row: NDArray[np.float32]) -> None:
        """Add a copy of a row, (columns,)."""
        if self._count == len(self._held):
            grown = np.empty((2 * self._count, self._held.shape[1]), np.float32)
            grown[: self._count] = self._held
            self._held = grown
        self._held[self._count] = row
        self._count += 1

    def rows(self) -> NDArray[np.float32]:
        """Return all rows so far, (n, columns): a view, which holds until the next one is added."""
        return self._held[: self._count]


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
