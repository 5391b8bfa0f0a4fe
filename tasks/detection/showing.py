"""The copy with the boxes drawn: a video with its sound, or a picture.

In: pictures and labels, in order of time. Out: `detected.mp4` or `detected.png`. Does not know what is drawn.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2

from tasks.contracts.media import FetchedVideo, MediaFacts
from tasks.contracts.objects import DETECTED_PICTURE_NAME, DETECTED_VIDEO_NAME
from tasks.detection.detector import Picture
from tasks.detection.drawing import Label, draw
from tasks.detection.stage_clock import StageClock
from tasks.video.overlap import Behind
from tasks.video.writing import VideoWriter, open_writer

USUAL_RATE_HZ = 25.0  # of a video that does not say its own


class Show(Protocol):
    """Takes pictures to draw on."""

    def __call__(self, image: Picture, time_s: float, duration_s: float, labels: list[Label]) -> None:
        """Draw the labels into the picture, which is then no longer the caller's, and write it."""
        ...


@contextmanager
def showing(video: FetchedVideo, media: MediaFacts, draft: Path, clock: StageClock) -> Iterator[Show]:
    """Yield what takes the pictures; drawing and writing are done in a thread behind the caller."""
    if media.kind == "picture":
        yield _PictureShow(draft / DETECTED_PICTURE_NAME, clock)
        return
    rate_hz = media.frame_rate or USUAL_RATE_HZ
    path = draft / DETECTED_VIDEO_NAME
    with (
        open_writer(path, width=media.width, height=media.height, frame_rate=rate_hz, sound_of=video.path) as writer,
        Behind() as behind,
    ):
        yield _VideoShow(writer, behind, clock)


@dataclass(frozen=True)
class _VideoShow:
    writer: VideoWriter
    behind: Behind
    clock: StageClock

    def __call__(self, image: Picture, time_s: float, duration_s: float, labels: list[Label]) -> None:
        self.behind.submit(self._draw_and_write, image, time_s, duration_s, labels)

    def _draw_and_write(self, image: Picture, time_s: float, duration_s: float, labels: list[Label]) -> None:
        with self.clock.measuring("draw"):
            draw(image, labels)
        with self.clock.measuring("encode"):
            self.writer.write(image, time_s, duration_s)


@dataclass(frozen=True)
class _PictureShow:
    path: Path
    clock: StageClock

    def __call__(self, image: Picture, time_s: float, duration_s: float, labels: list[Label]) -> None:  # noqa: ARG002 - as of a video
        with self.clock.measuring("draw"):
            draw(image, labels)
        with self.clock.measuring("encode"):
            _, content = cv2.imencode(".png", image[:, :, ::-1])
            self.path.write_bytes(content.tobytes())
