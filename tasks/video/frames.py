"""Frames of a video or picture, in the order in which they are shown."""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.media import MediaFacts, TimeRange
from tasks.video.config import MediaBounds
from tasks.video.container import check_work, open_container
from tasks.video.decoding import Counts, Shown, Upright, Watch, decoded, timed
from tasks.video.picture import is_picture, probe_picture, read_picture
from tasks.video.probe import facts_of, picture_stream, probe

if TYPE_CHECKING:
    from tasks.video.drawing import Picture
from tasks.video.timeline import Timeline, seek_before, timeline_of

MOST_LOST = 0.9  # share of the packets that may be lost; with fewer left, an answer says nothing of the video
FALLBACK_RATE = 25.0  # frames a second where neither frames nor stream say; an encoder is named it, too
# Seconds: an index may tell when key frames are decoded, which is sooner than they are shown.
SOUGHT_EARLIER_S = (0.0, 2.0)
LEAST_SEEK_S = 2.0  # a part that begins sooner is reached as fast by decoding what comes before
RARELY_HZ = 1 / 3600  # of frames that are converted to pictures that nobody wants
CLOSE_S = 1e-3  # by which a frame may come late and still be on show: containers round to a millisecond


@dataclass(frozen=True)
class Frame:
    """One frame."""

    index: int  # of the frame in the video, or in the part of it that is read, from 0
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
    part: TimeRange | None = None  # None: all of the file

    @property
    def corrupt_frames(self) -> int:
        """Packets that could not be decoded, and were left out."""
        return self.counts.corrupt

    @property
    def start_s(self) -> float:
        """When the first frame is shown, in the video's own time."""
        return self.part.start_s if self.part else 0.0

    @property
    def length_s(self) -> float | None:
        """Seconds of video that are read, as far as the headers say."""
        return self.part.length_s(self.facts.duration_s) if self.part else self.facts.duration_s

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
def open_frames(
    path: Path,
    bounds: MediaBounds,
    *,
    rate_hz: float | None = None,
    part: TimeRange | None = None,
    watch: Watch | None = None,
) -> Iterator[FrameReader]:
    """Open a video or picture, and yield a reader of its frames: every one, or those on show at 0, 1/rate, 2/rate, ...

    Times are seconds from the first picture. The frame on show at a time is the last one whose time is not after it
    (by more than a millisecond, to which some containers round), or the first one of all. The last sampled time lies
    before the end of the last frame, so 39.9 s at 1 Hz are 40 frames. A picture is one frame, at 0.0 s, at any rate.
    Of a file that is cut short, those frames come that it still holds.

    Args:
        path: the file.
        bounds: beyond which it is refused.
        rate_hz: sampled frames a second; every frame where it is None.
        part: only what is shown within it, in the video's own time: first the frame that is on show at its start, with
            that time; samples are taken at its start, 1/rate later, and so on.
        watch: hears of every frame of a video, before it is converted, whatever the rate.

    Raises:
        VideoError: the file is no video or picture, is out of bounds (of its length perhaps only while frames are
            read), or none of its frames can be decoded; or the part begins after its end.
    """
    if is_picture(path):
        if part:
            raise VideoError(f"{path} is a picture, which has no times: leave out `--start` and `--end`.")
        pictures = (Frame(0, 0.0, read_picture(path, bounds)) for _ in range(1))
        yield FrameReader(probe_picture(path, bounds), pictures, path=path)
        return
    with ExitStack() as stack:
        found = _sought(stack, path, bounds, part) if part and part.start_s > LEAST_SEEK_S else None
        begun = found or _begun(stack, path, bounds, None)
        assert begun is not None
        facts = begun.facts
        shown = _bounded(begun.shown(), bounds, path)
        if part:
            _check_within(path, part, facts.duration_s)
            shown = _within(shown, part, begun.counts, path)
        upright, seen = Upright(begun.stream), _watched(shown, watch) if watch else shown
        start_s = part.start_s if part else 0.0
        frames = _all(seen, upright) if rate_hz is None else _at_rate(seen, rate_hz, upright, start_s)
        yield FrameReader(facts, frames, begun.counts, path=path, part=part)


@dataclass
class _Begun:
    """A video whose first frame, of all or of those that are wanted, has been decoded."""

    stream: VideoStream
    timeline: Timeline
    facts: MediaFacts
    frames: Iterator[VideoFrame]
    counts: Counts

    @property
    def time_base(self) -> Fraction:
        return self.stream.time_base or Fraction(self.step_s)  # FFmpeg always names one

    @property
    def step_s(self) -> float:
        return 1 / (self.facts.frame_rate or FALLBACK_RATE)

    def shown(self) -> Iterator[Shown]:
        return timed(self.frames, self.stream, self.time_base, self.timeline.start_s, self.step_s)


def _begun(
    stack: ExitStack, path: Path, bounds: MediaBounds, from_s: float | None, earlier_s: float = 0.0
) -> _Begun | None:
    """Open a video and decode its first frame, or one from which `from_s` can be reached; None where none leads there.

    It is looked for before `from_s` by `earlier_s`.

    Raises:
        VideoError: as `open_frames`.
    """
    container = stack.enter_context(open_container(path, largest_pixels=bounds.largest_pixels))
    stream, timeline, counts = picture_stream(path, container, bounds), timeline_of(path), Counts()
    if from_s is not None and not seek_before(container, stream, timeline, max(from_s - earlier_s, 0.0)):
        return None
    frames = decoded(path, container, stream, timeline, counts)
    first = next(frames)
    begun = _Begun(stream, timeline, facts_of(container, stream, timeline, first), chain([first], frames), counts)
    if from_s is not None:
        time_s = None if first.pts is None else float(first.pts * begun.time_base) - timeline.start_s
        if time_s is None or time_s > from_s + CLOSE_S:
            return None
    return begun


def _sought(stack: ExitStack, path: Path, bounds: MediaBounds, part: TimeRange) -> _Begun | None:
    """Go to the key frame before a part; None where the file has no way there but to decode all before it."""
    for earlier_s in SOUGHT_EARLIER_S:
        with ExitStack() as own:
            try:
                begun = _begun(own, path, bounds, part.start_s, earlier_s)
            except VideoError:  # nothing can be decoded from there on: reading from the beginning says what is wrong
                return None
            if begun:
                stack.enter_context(own.pop_all())
                return begun
    return None


def _check_within(path: Path, part: TimeRange, duration_s: float | None) -> None:
    if duration_s is not None and part.start_s >= duration_s - CLOSE_S:
        raise VideoError(
            f"{path.name} lasts {duration_s:.1f} s, and the part that was asked for starts at {part.start_s:g} s: let "
            "`--start` lie within the video."
        )


def _within(frames: Iterator[Shown], part: TimeRange, counts: Counts, path: Path) -> Iterator[Shown]:
    """Yield what is on show within a part, the first frame from its start on, and count no packet before it."""
    number, held = 0, None
    end_s = float("inf") if part.end_s is None else part.end_s
    for shown in frames:
        if shown.time_s <= part.start_s + CLOSE_S:
            held = shown
            counts.packets = counts.corrupt = 0
            continue
        if held:
            yield replace(held, index=0, time_s=part.start_s, duration_s=min(shown.time_s, end_s) - part.start_s)
            number, held = 1, None
        if shown.time_s >= end_s - CLOSE_S:
            return
        yield replace(shown, index=number, duration_s=min(shown.duration_s, end_s - shown.time_s))
        number += 1
    if held and _end_s(held) > part.start_s + CLOSE_S:
        yield replace(held, index=0, time_s=part.start_s, duration_s=min(_end_s(held), end_s) - part.start_s)
    elif not number:
        _check_within(path, part, _end_s(held) if held else 0.0)


def _watched(frames: Iterator[Shown], watch: Watch) -> Iterator[Shown]:
    for shown in frames:
        watch(shown)
        yield shown


def _bounded(frames: Iterator[Shown], bounds: MediaBounds, path: Path) -> Iterator[Shown]:
    pixels, first_s = 0, None
    for shown in frames:
        if shown.time_s > bounds.longest_s:
            raise VideoError(f"{path} goes on after `media.longest_s` of {bounds.longest_s:,.0f} s: raise that bound.")
        first_s = shown.time_s if first_s is None else first_s
        pixels += shown.frame.width * shown.frame.height  # headers may name a smaller size, or a longer time
        check_work(path, pixels, shown.time_s + shown.duration_s - first_s, bounds)
        yield shown


def _all(frames: Iterator[Shown], upright: Upright) -> Iterator[Frame]:
    for shown in frames:
        yield Frame(shown.index, shown.time_s, upright(shown.frame), shown.duration_s)


def _at_rate(frames: Iterator[Shown], rate_hz: float, upright: Upright, start_s: float) -> Iterator[Frame]:
    """Yield the frame on show at each time start + k / rate; those between are decoded, but not converted."""
    sample = 0
    held: Shown | None = None
    for shown in chain(frames, [None]):
        until_s = shown.time_s if shown else _end_s(held) if held else 0.0
        # At least one of all comes.
        while held and (start_s + sample / rate_hz < until_s - CLOSE_S or not (sample or shown)):
            yield Frame(held.index, start_s + sample / rate_hz, upright(held.frame), 1 / rate_hz)
            sample += 1
        held = shown


def _end_s(shown: Shown) -> float:
    return shown.time_s + shown.duration_s


OVERVIEW_PIXELS = 600_000_000  # a second or two of decoding; of longer videos, key frames alone are decoded
OVERVIEW_HZ, OVERVIEW_LEAST, OVERVIEW_MOST = 2.0, 8, 240  # pictures of a second, of a short video, of a long one
STRIP_PX, POSTER_PX = 72, 256  # the height of a picture of a filmstrip; the longer side of a poster


class Overview:
    """Small pictures spread over a video or its part, of frames that are decoded anyway: a `watch` of `open_frames`.

    Evenly spaced: the first frame from each tick on. Each is RGB uint8 (h, w, 3), for a filmstrip and for a poster.
    """

    def __init__(self, path: Path, bounds: MediaBounds, part: TimeRange | None = None) -> None:
        """Read nothing yet."""
        self.times_s, self.strip, self.posters = list[float](), list["Picture"](), list["Picture"]()
        self._path, self._bounds, self._part = path, bounds, part
        self._start_s = part.start_s if part else 0.0
        self._ticks = 0  # that have passed
        self._stream: VideoStream | None = None
        self._upright: Upright | None = None

    @cached_property
    def _facts(self) -> MediaFacts:
        return probe(self._path, self._bounds)

    @property
    def _length_s(self) -> float:
        return (self._part.length_s(self._facts.duration_s) if self._part else self._facts.duration_s) or 0.0

    @property
    def _frames(self) -> float:
        return self._length_s * (self._facts.frame_rate or FALLBACK_RATE)

    @cached_property
    def _count(self) -> int:
        wanted = max(OVERVIEW_LEAST, OVERVIEW_HZ * self._length_s)
        return max(1, min(OVERVIEW_MOST, round(self._frames), round(wanted)))

    @cached_property
    def _step_s(self) -> float:
        return self._length_s / self._count

    def __call__(self, shown: Shown) -> None:
        """Keep a frame if it is the first since a tick."""
        since_s = shown.time_s - self._start_s + CLOSE_S
        if self._ticks >= self._count or since_s < self._ticks * self._step_s:
            return
        self._ticks = 1 + math.floor(since_s / self._step_s) if self._step_s else self._count
        self._keep_frame(shown)

    def complete(self) -> None:
        """Decode the video if nobody has; of one that is long, key frames alone.

        Raises:
            VideoError: as `open_frames`.
        """
        if self.strip:
            return
        if self._facts.kind == "picture":
            self._keep(0.0, read_picture(self._path, self._bounds))
        elif self._frames * self._facts.width * self._facts.height > OVERVIEW_PIXELS:
            self._look_at_key_frames()
        else:
            with open_frames(self._path, self._bounds, part=self._part, rate_hz=RARELY_HZ, watch=self) as reader:
                for _ in reader:
                    pass

    def _look_at_key_frames(self) -> None:
        latest_s = -1.0
        for number in range(self._count):
            at_s = self._start_s + number * self._step_s
            with ExitStack() as stack:
                begun = _begun(stack, self._path, self._bounds, at_s or None)
                shown = next(begun.shown()) if begun else None
                if shown and shown.time_s > latest_s:
                    latest_s = shown.time_s
                    self._keep_frame(shown)

    def _keep_frame(self, shown: Shown) -> None:
        if shown.stream is not self._stream:
            self._stream, self._upright = shown.stream, Upright(shown.stream)
        assert self._upright is not None
        self._keep(max(shown.time_s, self._start_s), self._upright(shown.frame))

    def _keep(self, time_s: float, picture: "Picture") -> None:
        from tasks.video.drawing import scaled  # noqa: PLC0415 - imports OpenCV, which those who read frames do without

        height, width = picture.shape[:2]
        small = scaled(picture, STRIP_PX / height)
        if not self.strip or small.shape == self.strip[0].shape:  # a video may change its size on the way
            self.times_s.append(time_s)
            self.strip.append(small)
            self.posters.append(scaled(picture, POSTER_PX / max(height, width)))


def picture_at(path: Path, bounds: MediaBounds, time_s: float) -> NDArray[np.uint8]:
    """Return what a video shows at a time, RGB uint8 (H, W, 3).

    Raises:
        VideoError: as `open_frames`.
    """
    with open_frames(path, bounds, part=TimeRange(start_s=time_s) if time_s > 0 else None) as reader:
        return next(iter(reader)).image
