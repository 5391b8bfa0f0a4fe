"""Frames of a video or picture, in the order in which they are shown."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.media import MediaFacts
from tasks.video.config import MediaBounds
from tasks.video.container import check_work, open_container
from tasks.video.decoding import Counts, Shown, Upright, decoded, timed
from tasks.video.picture import is_picture, probe_picture, read_picture
from tasks.video.probe import facts_of, picture_stream
from tasks.video.timeline import timeline_of

MOST_LOST = 0.9  # share of the packets that may be lost; with fewer left, an answer says nothing of the video
FALLBACK_RATE = 25.0  # frames a second where neither frames nor stream say
CLOSE_S = 1e-3  # by which a frame may come late and still be on show: containers round to a millisecond


@dataclass(frozen=True)
class Frame:
    """One frame."""

    index: int  # of the frame in the video, from 0
    time_s: float  # when it is shown; at a rate: the time that was asked for
    image: NDArray[np.uint8]  # RGB (H, W, 3), which the caller may draw in
    duration_s: float | None = None  # for how long it is shown; None for a picture


@dataclass
class FrameReader:
    """Frames of one file; `frames_read` and `corrupt_frames` are complete once it has been iterated over."""

    facts: MediaFacts
    source: Iterable[Frame]
    counts: Counts = field(default_factory=Counts)
    frames_read: int = 0
    path: Path = Path()

    @property
    def corrupt_frames(self) -> int:
        """Packets that could not be decoded, and were left out."""
        return self.counts.corrupt

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; once."""
        for frame in self.source:
            self.frames_read += 1
            yield frame
        lost, packets = self.counts.corrupt, self.counts.packets
        if lost > MOST_LOST * packets:
            raise VideoError(
                f"{self.path} is broken: {lost:,} of {packets:,} packets ({lost / packets:.0%}) could not be decoded. "
                f"Over {MOST_LOST:.0%}, an answer would say nothing of the video: fetch or copy it again."
            )


@contextmanager
def open_frames(path: Path, bounds: MediaBounds, *, rate_hz: float | None = None) -> Iterator[FrameReader]:
    """Open a video or picture, and yield a reader of its frames: every one, or those on show at 0, 1/rate, 2/rate, ...

    Times are seconds from the first picture. The frame on show at a time is the last one whose time is not after it
    (by more than a millisecond, to which some containers round), or the first one of all. The last sampled time lies
    before the end of the last frame, so 39.9 s at 1 Hz are 40 frames. A picture is one frame, at 0.0 s, at any rate.
    Of a file that is cut short, those frames come that it still holds.

    Raises:
        VideoError: the file is no video or picture, is out of bounds (of its length perhaps only while frames are
            read), or none of its frames can be decoded.
    """
    if is_picture(path):
        pictures = (Frame(0, 0.0, read_picture(path, bounds)) for _ in range(1))
        yield FrameReader(probe_picture(path, bounds), pictures, path=path)
        return
    with open_container(path, largest_pixels=bounds.largest_pixels) as container:
        stream, timeline = picture_stream(path, container, bounds), timeline_of(path)
        counts = Counts()
        frames = decoded(path, container, stream, timeline, counts)
        first = next(frames)
        facts = facts_of(container, stream, timeline, first)
        step_s = 1 / (facts.frame_rate or FALLBACK_RATE)
        time_base = stream.time_base or Fraction(step_s)  # FFmpeg always names one
        shown = _bounded(timed(chain([first], frames), time_base, timeline.start_s, step_s), bounds, path)
        upright = Upright(stream)
        yield FrameReader(
            facts, _all(shown, upright) if rate_hz is None else _at_rate(shown, rate_hz, upright), counts, path=path
        )


def _bounded(frames: Iterator[Shown], bounds: MediaBounds, path: Path) -> Iterator[Shown]:
    pixels = 0
    for shown in frames:
        if shown.time_s > bounds.longest_s:
            raise VideoError(f"{path} goes on after `media.longest_s` of {bounds.longest_s:,.0f} s: raise that bound.")
        pixels += shown.frame.width * shown.frame.height  # headers may name a smaller size, or a longer time
        check_work(path, pixels, shown.time_s + shown.duration_s, bounds)
        yield shown


def _all(frames: Iterator[Shown], upright: Upright) -> Iterator[Frame]:
    for shown in frames:
        yield Frame(shown.index, shown.time_s, upright(shown.frame), shown.duration_s)


def _at_rate(frames: Iterator[Shown], rate_hz: float, upright: Upright) -> Iterator[Frame]:
    """Yield the frame on show at each time k / rate; those between are decoded, but not converted."""
    sample = 0
    held: Shown | None = None
    for shown in chain(frames, [None]):
        until_s = shown.time_s if shown else _end_s(held) if held else 0.0
        while held and (sample / rate_hz < until_s - CLOSE_S or not (sample or shown)):  # at least one of all comes
            yield Frame(held.index, sample / rate_hz, upright(held.frame), 1 / rate_hz)
            sample += 1
        held = shown


def _end_s(shown: Shown) -> float:
    return shown.time_s + shown.duration_s
