"""What is to be done with one video, and by whom its boxes are followed.

In: a video, what it is, a detector and options. Out: a frozen `Plan`. Does not do it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.media import FetchedVideo, MediaFacts
from tasks.contracts.objects import DETECTED_PICTURE_NAME, DETECTED_VIDEO_NAME
from tasks.detection.boxes import NO_TRACK, Boxes
from tasks.detection.config import DetectOptions
from tasks.detection.detector import Detector
from tasks.detection.showing import USUAL_RATE_HZ
from tasks.detection.tracking import Follower

QUEUE_BYTES = 96 << 20  # of pictures that wait between two threads, at most
QUEUE_FRAMES = 16


class Follows(Protocol):
    """Gives boxes the keys of their tracks."""

    def update(self, found: Boxes, time_s: float) -> NDArray[np.int64]:
        """Return the key of each box."""
        ...


class EachItsOwn:
    """Every box is a thing of its own: those of a picture."""

    def update(self, found: Boxes, time_s: float) -> NDArray[np.int64]:  # noqa: ARG002 - as a follower does it
        """Return keys from 0."""
        return np.arange(len(found))


class Nobody:
    """No box belongs to a track."""

    def update(self, found: Boxes, time_s: float) -> NDArray[np.int64]:  # noqa: ARG002 - as a follower does it
        """Return `NO_TRACK` for each box."""
        return np.full(len(found), NO_TRACK)


@dataclass(frozen=True)
class Plan:
    """What is to be done with one video."""

    video: FetchedVideo
    media: MediaFacts
    detector: Detector
    options: DetectOptions

    @property
    def is_picture(self) -> bool:
        """Whether there is one frame only."""
        return self.media.kind == "picture"

    @property
    def annotated(self) -> str | None:
        """The name of the annotated copy; None where none is asked for."""
        if not self.options.annotate:
            return None
        return DETECTED_PICTURE_NAME if self.is_picture else DETECTED_VIDEO_NAME

    @property
    def frame_rate_hz(self) -> float:
        """Frames a second of the video."""
        return self.media.frame_rate or USUAL_RATE_HZ

    @property
    def rate_hz(self) -> float | None:
        """Ticks a second at which the frame on show is looked at; None where that is every frame."""
        return None if self.is_picture else self.options.rate_hz

    @property
    def look_step_s(self) -> float:
        """The usual time from one look of the detector to the next; frames at any time may be fewer than the ticks."""
        return self.options.every / min(self.rate_hz or self.frame_rate_hz, self.frame_rate_hz)

    @property
    def queue_frames(self) -> int:
        """Frames that wait between two threads at most."""
        frame_bytes = self.media.width * self.media.height * 3
        return max(1, min(QUEUE_FRAMES, QUEUE_BYTES // frame_bytes))

    def follower(self) -> Follows:
        """Return what gives boxes their tracks."""
        if self.is_picture:
            return EachItsOwn()
        if not self.options.tracks:
            return Nobody()
        return Follower(1 / self.look_step_s, self.options.min_score)

    @property
    def is_followed(self) -> bool:
        """Whether boxes belong to tracks, and count once their track is sure."""
        return self.is_picture or self.options.tracks

    @property
    def frames_expected(self) -> float | None:
        """Frames that will be read, as far as the headers say."""
        if self.is_picture:
            return 1
        return round(self.media.duration_s * self.frame_rate_hz) if self.media.duration_s else None
