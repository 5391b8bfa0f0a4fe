"""The sound of one file muxed or re-encoded into another."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from tasks.contracts.errors import VideoError
from tasks.contracts.files import appearing
from tasks.video.container import open_container, picture_of, sound_of
from tasks.video.sound import aligned_samples
from tasks.video.timeline import Timeline, packets_of, timeline_of

COPIED = frozenset({"aac", "mp3"})  # what mp4 may hold and browsers play; anything else is re-encoded
ENCODED_AS, ENCODED_LAYOUT, ENCODED_RATE_HZ = "aac", "stereo", 48_000
FRAME_SAMPLES = 1024  # of AAC
LEAD_S = 0.1  # of packets before the first picture: decoders need the one before the first that is heard
LONGEST_S = 7 * 24 * 3600.0


class Soundtrack:
    """The sound of `source`, handed on to `target` as far as the pictures have come."""

    def __init__(self, target: OutputContainer, source: Path) -> None:
        """Open the source, and add a stream to the target where there is sound."""
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
            self._packets = _copied(container, found, timeline, target.add_stream_from_template(found))
        else:
            stream = target.add_stream(ENCODED_AS, rate=ENCODED_RATE_HZ, layout=ENCODED_LAYOUT)
            self._packets = _encoded(container, timeline, stream)

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


def _copied(container: InputContainer, found: AudioStream, timeline: Timeline, stream: AudioStream) -> Iterator[Packet]:
    """Yield the packets as they are, their times counted from the first picture, rising."""
    time_base = found.time_base or Fraction(1, found.sample_rate)
    start = round(timeline.start_s / time_base)
    last = round(-LEAD_S / time_base)
    for packet in packets_of(container, found, timeline):
        if packet is None or packet.dts is None or packet.pts is None or packet.is_corrupt:
            continue
        packet.pts, packet.dts = packet.pts - start, packet.dts - start
        if packet.dts > last:
            last = packet.dts
            packet.stream = stream
            yield packet


def _encoded(container: InputContainer, timeline: Timeline, stream: AudioStream) -> Iterator[Packet]:
    rate_hz = stream.sample_rate
    fifo = av.AudioFifo()
    place = 0
    for samples in aligned_samples(container, timeline, LONGEST_S, layout=ENCODED_LAYOUT, rate_hz=rate_hz):
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
