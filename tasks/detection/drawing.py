"""Annotated copies: masks, boxes and names in the colour of each track, and a thumbnail of each track."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.media import DETECTED_PICTURE_NAME, DETECTED_VIDEO_NAME, FetchedVideo, MediaFacts
from tasks.contracts.overlap import Behind, StageClock
from tasks.detection.boxes import NO_TRACK, Picture, TimedFrame, unpack_mask
from tasks.detection.tracking import TrackSummaries, thumbnail_name
from tasks.video.drawing import colour_of, draw_box, draw_mask
from tasks.video.frames import FALLBACK_RATE
from tasks.video.writing import VideoWriter, open_writer

MASK_OPACITY = 0.45


@dataclass(frozen=True)
class BoxStyle:
    """One box to draw."""

    box: NDArray[np.float32]  # x_min, y_min, x_max, y_max
    colour: tuple[int, int, int]
    text: str
    mask: str | None  # packed


def labels_of(
    frame: TimedFrame, summaries: TrackSummaries, class_names: tuple[str, ...], *, is_followed: bool, is_picture: bool
) -> list[BoxStyle]:
    """Return what to draw in a frame: the tracks that are sure by now, or every box where nothing is followed.

    A thing of a video is named by its class so far and its number, which does not flicker; one of a picture by its
    class and its score.
    """
    found = frame.found
    labels: list[BoxStyle] = []
    for place in range(len(found) if found is not None else 0):
        assert found is not None
        key, class_id = int(found.keys[place]), int(found.class_ids[place])
        summary = summaries.sure(key) if key != NO_TRACK else None
        if summary is None and is_followed:
            continue
        number = (summary.track_id if summary else None) or 0
        class_name = class_names[summary.class_id if summary else class_id]
        score = f"{float(found.scores[place]):.0%}"
        text = f"{class_name} {number}" if summary and not is_picture else f"{class_name} {score}"
        colour = colour_of(number if summary else class_id)
        labels.append(BoxStyle(found.boxes[place], colour, text, found.packed_mask(place)))
    return labels


def draw(image: Picture, labels: list[BoxStyle]) -> None:
    """Draw the labels, those of the largest boxes first, so that small ones stay on top."""
    for label in sorted(labels, key=lambda label: -_area(label.box)):
        if label.mask is not None:
            draw_mask(image, unpack_mask(label.mask), label.colour, MASK_OPACITY)
        left, top, right, bottom = label.box.tolist()
        draw_box(image, (left, top, right, bottom), label.colour, label.text)


def _area(box: NDArray[np.float32]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


class Show(Protocol):
    """Takes pictures to draw on."""

    def __call__(self, image: Picture, time_s: float, duration_s: float, labels: list[BoxStyle]) -> None:
        """Draw the labels into the picture, which is then no longer the caller's, and write it."""
        ...


@contextmanager
def showing(video: FetchedVideo, media: MediaFacts, draft: Path, clock: StageClock) -> Iterator[Show]:
    """Yield what takes the pictures; drawing and writing are done in a thread behind the caller."""
    if media.kind == "picture":
        yield _PictureShow(draft / DETECTED_PICTURE_NAME, clock)
        return
    rate_hz = media.frame_rate or FALLBACK_RATE
    path = draft / DETECTED_VIDEO_NAME
    with (
        open_writer(
            path,
            width=media.width,
            height=media.height,
            frame_rate=rate_hz,
            sound_of=video.path,
            part=video.part,
        ) as writer,
        Behind() as behind,
    ):
        yield _VideoShow(writer, behind, clock, video.part.start_s if video.part else 0.0)


@dataclass(frozen=True)
class _VideoShow:
    writer: VideoWriter
    behind: Behind
    clock: StageClock
    start_s: float  # of the part: the copy's time 0

    def __call__(self, image: Picture, time_s: float, duration_s: float, labels: list[BoxStyle]) -> None:
        self.behind.submit(self._draw_and_write, image, time_s, duration_s, labels)

    def _draw_and_write(self, image: Picture, time_s: float, duration_s: float, labels: list[BoxStyle]) -> None:
        with self.clock.measuring("draw"):
            draw(image, labels)
        with self.clock.measuring("encode"):
            self.writer.write(image, time_s - self.start_s, duration_s)


@dataclass(frozen=True)
class _PictureShow:
    path: Path
    clock: StageClock

    def __call__(self, image: Picture, time_s: float, duration_s: float, labels: list[BoxStyle]) -> None:  # noqa: ARG002 - as of a video
        with self.clock.measuring("draw"):
            draw(image, labels)
        with self.clock.measuring("encode"):
            _, content = cv2.imencode(".png", image[:, :, ::-1])
            self.path.write_bytes(content.tobytes())


LONGEST_SIDE = 160  # pixels
MARGIN = 0.08  # of the box's longer side, around it
QUALITY = 85


class Thumbnails:
    """Pictures by the key of their track; a better one takes the place of the one before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, frame: TimedFrame, places: Iterable[int]) -> None:
        """Cut out the boxes at these places."""
        if frame.image is None or frame.found is None:
            return
        for place in places:
            key = int(frame.found.keys[place])
            cut = cut_out(frame.image, frame.found.boxes[place])
            # cv2.imwrite takes no path that the locale cannot spell, and says nothing when the disk is full.
            _, content = cv2.imencode(".jpg", cut[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
            self._path(key).parent.mkdir(exist_ok=True)
            self._path(key).write_bytes(content.tobytes())

    def name(self, track_ids: Mapping[int, int]) -> None:
        """Name the pictures by the numbers of their tracks, given by key, and drop those of no number."""
        for key in track_ids:
            target = self._folder / thumbnail_name(track_ids[key])
            target.parent.mkdir(exist_ok=True)
            self._path(key).replace(target)
        for left in (self._folder / "keys").glob("*"):
            left.unlink()

    def _path(self, key: int) -> Path:
        return self._folder / "keys" / f"{key}.jpg"


def cut_out(image: Picture, box: NDArray[np.float32]) -> Picture:
    """Return what a box covers, and a little around it, scaled down to a thumbnail."""
    height, width = image.shape[:2]
    margin = MARGIN * float(max(box[2] - box[0], box[3] - box[1]))
    left, top = (int(max(0, side - margin)) for side in box[:2])
    right, bottom = (int(min(side, end + margin + 1)) for side, end in zip((width, height), box[2:], strict=True))
    cut = image[min(top, height - 1) : max(bottom, top + 1), min(left, width - 1) : max(right, left + 1)]
    scale = min(1.0, LONGEST_SIDE / max(cut.shape[:2]))
    size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    return cv2.resize(cut, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
