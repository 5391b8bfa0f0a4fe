"""An annotated copy of the video with the labels that hold, and the scored frames as pictures."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.media import LabelSegment, TimeRange
from tasks.contracts.overlap import Behind, ahead
from tasks.contracts.progress import Progress
from tasks.features.batches import VideoClock
from tasks.labelling.scores import best_labels
from tasks.video.config import MediaBounds
from tasks.video.drawing import colour_of, draw_plate
from tasks.video.frames import FALLBACK_RATE, open_frames
from tasks.video.writing import open_writer

MOST_SHOWN = 3
SHOWN_FROM = 0.05  # the best label is shown whatever its score; the others from this on
# Of the picture's height, so that it reads the same at every size; never too small to read.
LINE_SHARE, SMALLEST_LINE_PX = 1 / 16, 12
BAR_SHARE_OF_LINE, BAR_SHARE_OF_WIDTH = 1 / 4, 1 / 3
EMPTY_BAR_COLOUR = (64, 64, 64)
ROUNDING_S = 1e-6  # a frame's time and that of the sampled frame which it is may differ by a rounding


@dataclass(frozen=True)
class Caption:
    """One line of what is drawn."""

    text: str
    score: float
    colour: tuple[int, int, int]


class Captions:
    """The captions of all sampled frames of a video."""

    def __init__(
        self,
        times_s: NDArray[np.float64],
        smoothed: NDArray[np.float32],
        labels: Sequence[tuple[int, str]],
        *,
        segments: Sequence[LabelSegment] | None = None,
        most: int = MOST_SHOWN,
        model: str | None = None,
    ) -> None:
        """Prepare the captions of T sampled frames, from `times_s` (T,), of smoothed scores (T, L).

        At most so many are shown at once, each with the name of the model before it, where that is given. With
        `segments`, only labels that hold at a time are shown; without, as of a picture, the best whatever its score.
        """
        self._most, self._before = most, f"{model}: " if model else ""
        self._times_s = times_s
        self._smoothed = smoothed
        self._labels = labels
        self._ids = np.array([label_id for label_id, _ in labels], np.int32)
        self._held = None if segments is None else _Held(segments, self._ids)
        # The frames between two sampled ones follow each other.
        self._latest: tuple[tuple[int, ...], list[Caption]] = ((-1,), [])

    def at(self, time_s: float) -> list[Caption]:
        """Return the captions of the sampled frame on show at a time, best first."""
        place = int(np.searchsorted(self._times_s, time_s + ROUNDING_S, side="right")) - 1
        sampled = max(place, 0)
        held = None if self._held is None else self._held.at(time_s + ROUNDING_S)
        key = (sampled, *(() if held is None else held.tolist()))
        if key != self._latest[0]:
            self._latest = (key, self._of(sampled, held))
        return self._latest[1]

    def _of(self, sampled: int, held: NDArray[np.int64] | None) -> list[Caption]:
        """Make the captions of one sampled frame, of the labels that hold: columns (n,)."""
        scores = self._smoothed[sampled]
        if held is None:
            best = best_labels(scores, self._ids, self._most)
            columns = [column for rank, column in enumerate(best) if rank == 0 or scores[column] >= SHOWN_FROM]
        else:
            columns = held[best_labels(scores[held], self._ids[held], self._most)]
        return [self._caption(column, float(scores[column])) for column in columns]

    def _caption(self, column: int, score: float) -> Caption:
        label_id, name = self._labels[column]
        return Caption(f"{self._before}{name} {score:.2f}", score, colour_of(label_id))


class _Held:
    """Which labels hold when."""

    def __init__(self, segments: Sequence[LabelSegment], ids: NDArray[np.int32]) -> None:
        place = {label_id: column for column, label_id in enumerate(ids.tolist())}
        self._columns = np.array([place[each.label_id] for each in segments], np.int64)
        self._starts_s = np.array([each.start_s for each in segments])
        self._ends_s = np.array([each.end_s for each in segments])

    def at(self, time_s: float) -> NDArray[np.int64]:
        """Return the columns of the labels that hold at a time."""
        return self._columns[(self._starts_s <= time_s) & (time_s < self._ends_s)]


class CaptionsOfSeveral(Captions):
    """The captions of several models, one below the other."""

    def __init__(self, models: Sequence[Captions]) -> None:
        self._models = models

    def at(self, time_s: float) -> list[Caption]:
        """Return the captions of each model at a time, in the order of the models."""
        return [caption for each in self._models for caption in each.at(time_s)]


def draw_captions(image: NDArray[np.uint8], captions: Sequence[Caption]) -> None:
    """Draw captions into a picture, RGB uint8 (H, W, 3), from the upper left corner down."""
    height, width = image.shape[:2]
    line_px = max(SMALLEST_LINE_PX, round(height * LINE_SHARE))
    bar_px = max(2, round(line_px * BAR_SHARE_OF_LINE))
    margin_px = line_px // 2
    y = margin_px
    for caption in captions:
        draw_plate(image, caption.text, x=margin_px, y=y, colour=caption.colour, height_px=line_px)
        y += line_px
        _draw_bar(image[y : y + bar_px, margin_px : margin_px + round(width * BAR_SHARE_OF_WIDTH)], caption)
        y += bar_px + margin_px // 2


def _draw_bar(place: NDArray[np.uint8], caption: Caption) -> None:
    """Fill a part of the picture: the share that is the score in the label's colour, the rest dark."""
    filled_px = round(place.shape[1] * caption.score)
    place[:, :filled_px] = caption.colour
    place[:, filled_px:] = EMPTY_BAR_COLOUR


AHEAD_FRAMES = 8
JPEG_QUALITY = 90


def write_annotated(
    source: Path,
    bounds: MediaBounds,
    captions: Captions,
    destination: Path,
    progress: Progress,
    *,
    part: TimeRange | None = None,
) -> None:
    """Write every frame of a video with the captions at its time, at its own time, and the video's sound.

    The copy of a part begins at 0.

    Raises:
        VideoError: the video cannot be read or written.
    """
    with open_frames(source, bounds, part=part) as reader:
        facts = reader.facts
        clock = VideoClock(progress, f"drawing {source.name}", reader.length_s)
        writer = open_writer(
            destination,
            width=facts.width,
            height=facts.height,
            frame_rate=facts.frame_rate or FALLBACK_RATE,
            sound_of=source if facts.has_sound else None,
            part=part,
        )
        with writer as writing, Behind() as encoding, closing(ahead(reader, buffer=AHEAD_FRAMES)) as frames:
            for frame in frames:
                draw_captions(frame.image, captions.at(frame.time_s))
                encoding.submit(writing.write, frame.image, frame.time_s - reader.start_s, frame.duration_s)
                clock.reach(frame.time_s - reader.start_s)
        clock.finish()


def draw_picture(source: Path, bounds: MediaBounds, captions: Captions, destination: Path) -> None:
    """Write a picture with its captions.

    Raises:
        VideoError: the picture cannot be read.
    """
    with open_frames(source, bounds) as reader:
        frame = next(iter(reader))
    draw_captions(frame.image, captions.at(frame.time_s))
    Image.fromarray(frame.image).save(destination)


def keep_frames(
    source: Path,
    bounds: MediaBounds,
    captions: Captions,
    rate_hz: float,
    folder: Path,
    *,
    part: TimeRange | None = None,
) -> None:
    """Write the frames that were scored, captions drawn, as `000000.jpg`, `000001.jpg` … into a new folder.

    Raises:
        VideoError: the video cannot be read.
    """
    folder.mkdir()
    with (
        open_frames(source, bounds, rate_hz=rate_hz, part=part) as reader,
        closing(ahead(reader, buffer=AHEAD_FRAMES)) as frames,
    ):
        for number, frame in enumerate(frames):
            draw_captions(frame.image, captions.at(frame.time_s))
            Image.fromarray(frame.image).save(folder / f"{number:06d}.jpg", quality=JPEG_QUALITY)
