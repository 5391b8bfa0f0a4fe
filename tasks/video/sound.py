"""The sound of a video: aligned with its pictures, and muxed or re-encoded into another file."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.contracts.files import appearing
from tasks.contracts.media import TimeRange
from tasks.video.config import MediaBounds
from tasks.video.container import open_container, picture_of, sound_of
from tasks.video.timeline import Timeline, packets_of, seek_before, timeline_of

SAMPLE_RATE_HZ = 16_000
GAP_S = 0.1  # shorter ones are the rounding of time stamps; longer ones are sound that is missing or was broken
BLOCK_S = 30.0
WARMING_UP_S = 5.0  # before a part: decoders need what came before, and picture and sound lie apart in a file
MIXING = {"rematrix_maxval": "1.0"}  # as loud as one channel: two that say the same would else be cut off at 1

Samples = NDArray[np.float32]


def read_sound(
    path: Path, bounds: MediaBounds, *, block_s: float = BLOCK_S, part: TimeRange | None = None
) -> Iterator[Samples]:
    """Yield the sound, mono at 16 kHz, in blocks of `block_s` seconds, the last one shorter.

    Nothing comes where there is no sound, or none that can be decoded. Sound that begins after the first picture, and
    gaps in it, are silence; what begins before it is left out, and so is what goes on after `bounds.longest_s`. With
    `part`, the first sample is heard at its start.

    Raises:
        VideoError: the file cannot be opened.
    """
    size = round(block_s * SAMPLE_RATE_HZ)
    kept: list[Samples] = []
    count = 0
    with open_container(path) as container:
        for samples in aligned_samples(container, timeline_of(path), bounds.longest_s, part=part):
            kept.append(samples[0])
            count += samples.shape[1]
            while count >= size:
                joined = np.concatenate(kept)
                yield joined[:size]
                kept, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(kept)


def aligned_samples(
    container: InputContainer,
    timeline: Timeline,
    longest_s: float,
    *,
    layout: str = "mono",
    rate_hz: int = SAMPLE_RATE_HZ,
    part: TimeRange | None = None,
) -> Iterator[Samples]:
    """Yield pieces of shape (channels, n), one after the other from the first picture on, without gaps or overlaps.

    With `part`, they begin at its start and end with it.
    """
    stream = sound_of(container)
    if stream is None:
        return
    start_s, end_s = (part.start_s, part.end_s or longest_s) if part else (0.0, longest_s)
    from_s = max(start_s - WARMING_UP_S, 0.0)
    if not (from_s and seek_before(container, picture_of(container) or stream, timeline, from_s)):
        from_s = 0.0
    pieces = _joined_up(_resampled(container, stream, timeline, layout, rate_hz), timeline, rate_hz, from_s, longest_s)
    unheard = round(start_s * rate_hz) - round(from_s * rate_hz)
    left = round(end_s * rate_hz) - round(start_s * rate_hz)
    for samples in pieces:
        heard = samples[:, unheard : unheard + left]
        unheard, left = max(unheard - samples.shape[1], 0), left - heard.shape[1]
        yield heard
        if left <= 0:
            return


def _joined_up(
    pieces: Iterator[AudioFrame], timeline: Timeline, rate_hz: int, from_s: float, longest_s: float
) -> Iterator[Samples]:
    """Yield what is heard from one time to another: gaps are filled with silence, and what overlaps is left out."""
    first = round(from_s * rate_hz)
    place, left, latest_s = first, round(longest_s * rate_hz) - first, -math.inf
    for piece in pieces:
        samples = _bounded(np.asarray(piece.to_ndarray(), np.float32))
        late = 0 if piece.time is None else round((piece.time - timeline.start_s) * rate_hz) - place
        is_telling = piece.time is not None and piece.time > latest_s  # else time stands still, as broken clocks do
        latest_s = latest_s if piece.time is None else piece.time
        has_begun = place > first
        if late < (-GAP_S * rate_hz if has_begun else 0) and is_telling:
            samples = samples[:, -late:]  # of what is heard twice at once, where two recordings were put together
        elif (
            late > (GAP_S * rate_hz if has_begun else 0) and late < left
        ):  # of a time beyond all bounds nothing is made
            yield from _silence(samples.shape[0], late, rate_hz)
            place, left = place + late, left - late
        samples = samples[:, :left]
        yield samples
        place, left = place + samples.shape[1], left - samples.shape[1]
        if left <= 0:
            return


def _bounded(samples: Samples) -> Samples:
    """Return samples within [-1, 1], zeros in the place of what is no number."""
    if not np.isfinite(np.vdot(samples, samples)):  # NaN or infinite, or so large that its square is
        samples = np.nan_to_num(samples)
    return np.minimum(np.maximum(samples, np.float32(-1)), np.float32(1))


def _silence(channels: int, count: int, rate_hz: int) -> Iterator[Samples]:
    """Yield zeros, a second at a time: a gap may be hours."""
    for start in range(0, count, rate_hz):
        yield np.zeros((channels, min(rate_hz, count - start)), np.float32)


def _resampled(
    container: InputContainer, stream: AudioStream, timeline: Timeline, layout: str, rate_hz: int
) -> Iterator[AudioFrame]:
    def fresh() -> av.AudioResampler:
        return av.AudioResampler(format="fltp", layout=layout, rate=rate_hz, options=MIXING)

    resampler = fresh()
    for frame in _decoded(container, stream, timeline):
        try:
            yield from resampler.resample(frame)
        except ValueError:  # the sound changes its form on the way
            yield from resampler.resample(None)
            resampler = fresh()
            yield from resampler.resample(frame)
        except FFmpegError:
            continue
    yield from resampler.resample(None)


def _decoded(container: InputContainer, stream: AudioStream, timeline: Timeline) -> Iterator[AudioFrame]:
    for packet in packets_of(container, stream, timeline):
        try:
            frames = stream.decode(packet)
        except (FFmpegError, MemoryError):  # what is broken is left out, and becomes a gap
            continue
        for frame in frames:
            frame.time_base = frame.time_base or stream.time_base
            yield frame


COPIED = frozenset({"aac", "mp3"})  # what mp4 may hold and browsers play; anything else is re-encoded
ENCODED_AS, ENCODED_LAYOUT, ENCODED_RATE_HZ = "aac", "stereo", 48_000
FRAME_SAMPLES = 1024  # of AAC
LEAD_S = 0.1  # of packets before the first picture: decoders need the one before the first that is heard
LONGEST_S = 7 * 24 * 3600.0


class Soundtrack:
    """The sound of `source`, handed on to `target` as far as the pictures have come."""

    def __init__(self, target: OutputContainer, source: Path, part: TimeRange | None = None) -> None:
        """Open the source, and add a stream to the target where there is sound; times count from the part's start."""
        self._target = target
        self._waiting: Packet | None = None
        self._packets: Iterator[Packet] = iter(())
        self._closing = ExitStack()
        container = self._closing.enter_context(open_container(source))
        found = sound_of(container)
        if found is None:
            return
        timeline = timeline_of(source)
        if not timeline.is_joined and _is_taken(found):
            self._packets = _copied(container, found, timeline, target.add_stream_from_template(found), part)
        else:
            stream = target.add_stream(ENCODED_AS, rate=ENCODED_RATE_HZ, layout=ENCODED_LAYOUT)
            self._packets = _encoded(container, timeline, stream, part)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        """Close the source."""
        self._closing.close()

    def reach(self, time_s: float | None) -> None:
        """Hand on what is heard up to `time_s`, or all the rest: pictures and sound lie side by side in the file."""
        while True:
            packet = self._waiting or next(self._packets, None)
            self._waiting = packet
            if packet is None or (time_s is not None and _time_s(packet) > time_s):
                return
            self._waiting = None
            try:
                self._target.mux(packet)
            except FFmpegError as error:
                if isinstance(
                    error, OSError
                ):  # of the disk; a packet that is broken loses neither the rest nor pictures
                    raise


def _time_s(packet: Packet) -> float:
    return float((packet.dts or 0) * packet.time_base)


def _is_taken(found: AudioStream) -> bool:
    """Say whether a sound may be copied: an mp4 takes it, and browsers play it."""
    if found.codec_context.codec.canonical_name not in COPIED:
        return False
    try:
        with av.open(BytesIO(), "w", format="mp4") as trial:
            trial.add_stream_from_template(found)
            trial.start_encoding()
    except (FFmpegError, ValueError):  # e.g. mp3 of less than 16 kHz
        return False
    return True


def _copied(
    container: InputContainer, found: AudioStream, timeline: Timeline, stream: AudioStream, part: TimeRange | None
) -> Iterator[Packet]:
    """Yield the packets as they are, their times counted from the first picture, or the part's start, rising."""
    time_base = found.time_base or Fraction(1, found.sample_rate)
    start_s = part.start_s if part else 0.0
    start = round((timeline.start_s + start_s) / time_base)
    length = round((part.end_s - start_s) / time_base) if part and part.end_s else None
    last = round(-LEAD_S / time_base)
    if start_s > WARMING_UP_S:
        seek_before(container, picture_of(container) or found, timeline, start_s - WARMING_UP_S)
    for packet in packets_of(container, found, timeline):
        if packet is None or packet.dts is None or packet.pts is None or packet.is_corrupt:
            continue
        packet.pts, packet.dts = packet.pts - start, packet.dts - start
        if length is not None and packet.pts >= length:
            return
        if packet.dts > last:
            last = packet.dts
            packet.stream = stream
            yield packet


def _encoded(
    container: InputContainer, timeline: Timeline, stream: AudioStream, part: TimeRange | None
) -> Iterator[Packet]:
    rate_hz = stream.sample_rate
    fifo = av.AudioFifo()
    place = 0
    for samples in aligned_samples(container, timeline, LONGEST_S, layout=ENCODED_LAYOUT, rate_hz=rate_hz, part=part):
        if not samples.shape[1]:
            continue
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=ENCODED_LAYOUT)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, place, Fraction(1, rate_hz)
        place += frame.samples
        fifo.write(frame)
        for whole in fifo.read_many(FRAME_SAMPLES):
            yield from stream.encode(whole)
    rest = fifo.read(0, partial=True) if place else None
    if rest is not None:
        yield from stream.encode(rest)
    if place:
        yield from stream.encode(None)


def join_streams(files: Sequence[Path], path: Path) -> Path:
    """Write the first picture and the first sound of `files` to `path`, and return it.

    Raises:
        VideoError: a file cannot be opened, or there is neither picture nor sound.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(open_container(file)) for file in files]
        chosen = _chosen(opened)
        if not chosen:
            raise VideoError(f"{files[0]} holds neither picture nor sound.")
        temporary = stack.enter_context(appearing(path))
        written = stack.enter_context(av.open(str(temporary), "w", format="matroska"))
        streams = [(read, stream, written.add_stream_from_template(stream)) for read, stream in chosen]
        for packet, target in _in_order([_packets(read, stream, target) for read, stream, target in streams]):
            packet.stream = target
            written.mux(packet)
    return path


def _chosen(opened: Sequence[InputContainer]) -> list[tuple[InputContainer, Stream]]:
    pictures = [(read, stream) for read in opened if (stream := picture_of(read))]
    sounds = [(read, stream) for read in opened if (stream := sound_of(read))]
    return [*pictures[:1], *sounds[:1]]


def _packets(read: InputContainer, stream: Stream, target: Stream) -> Iterator[tuple[Packet, Stream]]:
    return ((packet, target) for packet in read.demux(stream) if packet.dts is not None)


def _in_order(sources: Sequence[Iterator[tuple[Packet, Stream]]]) -> Iterator[tuple[Packet, Stream]]:
    """Merge packets by time, as a player reads them."""
    heads = [next(source, None) for source in sources]
    while any(heads):
        place = min((index for index, head in enumerate(heads) if head), key=lambda index: _head_time_s(heads[index]))
        head = heads[place]
        assert head is not None
        yield head
        heads[place] = next(sources[place], None)


def _head_time_s(head: tuple[Packet, Stream] | None) -> float:
    assert head is not None
    packet = head[0]
    return float((packet.dts or 0) * (packet.time_base or 0))
