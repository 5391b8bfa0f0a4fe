"""When the packets of a file are shown and heard, on one clock that neither jumps nor wraps.

Transport streams that were put together, or whose sender was restarted, begin their clock again in the middle; some
containers do not say how long the picture lasts, or say how long the sound does. Such a file is read through once,
without decoding anything, before it is used.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from tasks.video.container import open_container, picture_of, raw_packets_of, sound_of
from tasks.video.ending import breaks_off, declared_end, declared_ends

# Containers whose header has the length of the picture itself. All others are read through.
MEASURED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
ORDERED = frozenset({"avi"})  # that do not say when a picture is shown, but only in which order it is decoded
CLOCK_JUMPS = 0x200  # AVFMT_TS_DISCONT: FFmpeg's mark of formats whose clock may jump
# FFmpeg's own bounds (`dts_delta_threshold` and the tenth of a second in ffmpeg_demux.c): beyond them a time stamp is
# of another clock; a shorter step ahead is a picture that stays on show, or a signal that was lost.
AHEAD_S, BACK_S = 10.0, 0.1
BACK_ELSEWHERE_S = 1.0  # in formats whose clock should not jump at all
OUTLIERS = 3  # packets in a row that may bear wrong time stamps without being taken for a new clock
TOGETHER_S = 3.0  # by which picture and sound lie apart in a file, at most
OVERLAP_S = 0.2  # by which the sound may go on after the picture and is not waited for
LEAST_MISSING_S, LEAST_SOUND_S = 0.01, 0.25  # by which an end may lie apart: of pictures, of sound and whole files
RATE_TOLERANCE = 0.02  # of the frame rate that a header names
SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # containers with an index of key frames, and times of showing
CACHED = 64


@dataclass
class Run:
    """Packets that follow each other on one clock; times in units of the stream."""

    first: int  # number of its first packet in the stream
    position: int  # of that packet in the file
    start: int
    end: int  # when the last packet is over, as far as is known
    last: int  # decoding time of the latest packet
    before: int | None = None  # and of the one before it
    count: int = 0  # packets with a decoding time
    first_decoding: int = 0

    @property
    def step(self) -> int:
        """Return the usual time from one packet to the next."""
        return round((self.last - self.first_decoding) / (self.count - 1)) if self.count > 1 else 0


@dataclass
class Track:
    """What was found of one stream."""

    time_base: float
    may_jump: bool
    runs: list[Run] = field(default_factory=list)
    outliers: set[int] = field(default_factory=set)
    packets: int = 0  # the empty one at the end included
    frames: int = 0

    def add(self, packet: Packet) -> None:
        """Take in the next packet."""
        number, self.packets = self.packets, self.packets + 1
        self.frames += packet.size > 0
        if packet.pts is None and packet.dts is None:
            return
        waits = packet.pts - packet.dts if packet.pts is not None and packet.dts is not None else 0
        if abs(waits) * self.time_base > AHEAD_S:  # no frame waits that long for its turn
            self.outliers.add(number)
            return
        if packet.dts is not None and self.runs and self._jumps(packet.dts):
            self._jump(packet, number)
        elif not self.runs:
            self.runs.append(_new_run(packet, number))
        else:
            _extend(self.runs[-1], packet)

    def _jumps(self, decoding: int) -> bool:
        run = self.runs[-1]
        if not run.count:
            return False
        back_s, ahead_s = ((run.last - decoding) * self.time_base, (decoding - run.last) * self.time_base)
        return back_s > (BACK_S if self.may_jump else BACK_ELSEWHERE_S) or (self.may_jump and ahead_s > AHEAD_S)

    def _follows(self, decoding: int, last: int | None) -> bool:
        return last is not None and -BACK_S <= (decoding - last) * self.time_base <= AHEAD_S

    def _jump(self, packet: Packet, number: int) -> None:
        """Begin a new run, unless a few packets alone bear times of another clock."""
        assert packet.dts is not None
        run = self.runs[-1]
        if run.count > 1 and self._follows(packet.dts, run.before):  # only the packet before this one was wrong
            self.outliers.add(number - 1)
            run.last, run.end = run.before or 0, (run.before or 0) + run.step
            _extend(run, packet)
        elif len(self.runs) > 1 and run.count <= OUTLIERS and self._follows(packet.dts, self.runs[-2].last):
            self.outliers.update(range(run.first, number))
            self.runs.pop()
            _extend(self.runs[-1], packet)
        else:
            self.runs.append(_new_run(packet, number))

    def seconds(self, run: Run) -> tuple[float, float]:
        """Return when a run begins and ends."""
        return run.start * self.time_base, max(run.end, run.last + run.step) * self.time_base

    @property
    def end_s(self) -> float | None:
        """Return when the last of all packets is over; None where none has a time."""
        return max((self.seconds(run)[1] for run in self.runs), default=None)

    @property
    def step_s(self) -> float:
        """Return the usual time from one packet to the next."""
        return self.runs[-1].step * self.time_base if self.runs else 0.0


@dataclass(frozen=True)
class Clock:
    """How the time stamps of one stream are moved onto the file's one clock."""

    firsts: tuple[int, ...] = (0,)  # numbers of packets from which on another number is added
    moves: tuple[int, ...] = (0,)  # units of the stream
    outliers: frozenset[int] = frozenset()  # packets whose time stamps are wrong

    def set(self, packet: Packet, number: int) -> None:
        """Move a packet; one whose time stamps are wrong loses them."""
        if number in self.outliers:
            packet.pts = packet.dts = None
            return
        move = self.moves[bisect_right(self.firsts, number) - 1]
        if move:
            packet.pts = None if packet.pts is None else packet.pts + move
            packet.dts = None if packet.dts is None else packet.dts + move


@dataclass(frozen=True)
class MissingEnd:
    """What a file that breaks off does not hold of the length that it declares."""

    seconds: float | None = None  # of the picture; None where nothing says how long it was, 0 where only sound is gone
    of_s: float | None = None


@dataclass(frozen=True)
class Timeline:
    """The one clock of a file; seconds on it count from wherever the file's own does."""

    start_s: float = 0.0  # when the first picture is shown: time 0 of all that is handed on
    duration_s: float | None = None  # of the picture, as far as it is there
    frame_rate: float | None = None  # average frames a second
    clocks: dict[int, Clock] = field(default_factory=dict)  # by the index of the stream
    missing: MissingEnd | None = None  # where the file is cut short

    @property
    def is_joined(self) -> bool:
        """Whether the file's own clock jumps."""
        return any(len(clock.firsts) > 1 for clock in self.clocks.values())

    @property
    def is_plain(self) -> bool:
        """Whether packets bear the file's one clock as they are, so that they need not be counted from the first."""
        return all(not (any(clock.moves) or clock.outliers) for clock in self.clocks.values()) and not self.is_joined


def timeline_of(path: Path) -> Timeline:
    """Return the clock of a file.

    Raises:
        VideoError: the file cannot be opened.
    """
    status = path.stat()
    return _timeline_of(path, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=CACHED)
def _timeline_of(path: Path, state: tuple[int, ...]) -> Timeline:  # noqa: ARG001 - another state is another file
    with open_container(path) as container:
        picture, sound = picture_of(container), sound_of(container)
        if picture is None:
            return Timeline()
        name = container.format.name
        is_measured = name in MEASURED and bool(picture.duration and picture.duration > 0 and picture.frames > 0)
        is_cut = breaks_off(path, name)
        if is_measured and not is_cut:
            return _by_headers(container, picture)
        kept: list[Stream] = [stream for stream in (picture, sound) if stream is not None]
        ends_s, end_s = declared_ends(path, container, kept), declared_end(path, container)
        tracks, is_broken = _scanned(container, kept)
        if is_measured and name not in ORDERED:
            timeline = _as_far_as(tracks[picture.index], _by_headers(container, picture))
        else:
            timeline = _by_packets(picture, tracks, path.stat().st_size)
        if is_cut or (is_cut is None and is_broken):
            return replace(timeline, missing=_missing_end(timeline, picture.index, tracks, ends_s, end_s))
        return timeline


def seek_before(container: InputContainer, stream: Stream, timeline: Timeline, time_s: float) -> bool:
    """Go to a packet of the stream from which on what is shown at `time_s` can be decoded; say whether that was done.

    Where the container has no index, or its clock jumps, it stays where it is: then all before is read.
    """
    if container.format.name not in SEEKABLE or not timeline.is_plain or not stream.time_base:
        return False
    try:
        container.seek(round((time_s + timeline.start_s) / stream.time_base), stream=stream)
    except (FFmpegError, OverflowError):
        return False
    return True


def packets_of(container: InputContainer, stream: Stream, timeline: Timeline) -> Iterator[Packet | None]:
    """Yield the packets of one stream on the file's one clock, then an empty one that empties its decoder.

    Where the file ends in the middle of a packet, what came before it is whole; then the last one is None.
    """
    clock = timeline.clocks.get(stream.index)
    for number, packet in enumerate(raw_packets_of(container, [stream])):
        if packet is not None and clock:
            clock.set(packet, number)
        yield packet


def _by_headers(container: InputContainer, picture: VideoStream) -> Timeline:
    assert picture.duration is not None
    assert picture.time_base is not None
    rate = picture.average_rate or picture.guessed_rate
    start = late = picture.start_time or 0
    if container.format.name == "avi":  # in which nothing is shown until the first packet comes
        first = next((packet for packet in raw_packets_of(container, [picture]) if packet and packet.size), None)
        start = first.dts if first and first.dts is not None else start
    return Timeline(
        start_s=float(start * picture.time_base),
        duration_s=float((picture.duration - (start - late)) * picture.time_base),
        frame_rate=float(rate) if rate else None,
    )


def _as_far_as(track: Track, timeline: Timeline) -> Timeline:
    """Return what the headers say, with the length of what is there."""
    end_s = track.end_s
    return timeline if end_s is None else replace(timeline, duration_s=max(end_s - timeline.start_s, 0.0))


def _missing_end(
    timeline: Timeline, picture: int, tracks: dict[int, Track], ends_s: dict[int, float], end_s: float | None
) -> MissingEnd | None:
    """Return what is not there of what is declared; None where nothing is missing but an index, or a filling."""
    there_s = {index: track.end_s for index, track in tracks.items()}
    lacking_s = {index: end_s - (there_s.get(index) or 0.0) for index, end_s in ends_s.items()}
    if picture in lacking_s:
        if lacking_s[picture] > max(tracks[picture].step_s / 2, LEAST_MISSING_S):
            return MissingEnd(lacking_s[picture], (timeline.duration_s or 0.0) + lacking_s[picture])
        return MissingEnd(0.0) if any(lacking > LEAST_SOUND_S for lacking in lacking_s.values()) else None
    if end_s is None:
        return MissingEnd()
    lacking = end_s - max((each for each in there_s.values() if each is not None), default=0.0)
    return MissingEnd(lacking, end_s) if lacking > LEAST_SOUND_S else None


def _scanned(container: InputContainer, streams: list[Stream]) -> tuple[dict[int, Track], bool]:
    """Read all packets; say as well whether the last of them is broken."""
    may_jump = bool(container.format.flags & CLOCK_JUMPS)
    tracks = {stream.index: Track(float(stream.time_base or 1), may_jump) for stream in streams}
    is_broken = False
    for packet in raw_packets_of(container, streams):
        if packet is None or packet.size:
            is_broken = packet is None or packet.is_corrupt
        if packet is not None and packet.stream_index in tracks:  # some formats give packets of others all the same
            if container.format.name in ORDERED:
                packet.pts = None
            tracks[packet.stream_index].add(packet)
    return tracks, is_broken


def _by_packets(picture: VideoStream, tracks: dict[int, Track], file_bytes: int) -> Timeline:
    track = tracks[picture.index]
    if not track.runs:
        return Timeline(frame_rate=_named_rate(picture))
    start_s = track.seconds(track.runs[0])[0]
    others = {index: other for index, other in tracks.items() if index != picture.index}
    moves_s = _moves_of_pictures(track, next(iter(others.values()), None))
    ends_s = [track.seconds(run)[1] + move_s for run, move_s in zip(track.runs, moves_s, strict=True)]
    bytes_per_s = file_bytes / max(max(ends_s) - start_s, 1.0)
    clocks = {picture.index: _clock(track, moves_s)}
    for index, other in others.items():
        clocks[index] = _clock(other, _moves_of_sound(other, track, moves_s, TOGETHER_S * bytes_per_s))
    duration_s = max(ends_s) - start_s
    return Timeline(start_s, duration_s if duration_s > 0 else None, _rate(picture, track, duration_s), clocks)


def _moves_of_pictures(track: Track, sound: Track | None) -> list[float]:
    """Return what is added to the times of each run, so that its first picture follows the last of the run before.

    Where the sound before goes on for longer than the picture, it is heard to its end first.
    """
    moves_s = [0.0]
    for number, (before, run) in enumerate(zip(track.runs, track.runs[1:], strict=False), 1):
        end_s, start_s = track.seconds(before)[1] + moves_s[-1], track.seconds(run)[0]
        move_s = end_s - start_s
        if sound and len(sound.runs) == len(track.runs):
            sound_end_s = sound.seconds(sound.runs[number - 1])[1] + moves_s[-1]
            late_s = sound_end_s - (sound.seconds(sound.runs[number])[0] + move_s)
            move_s += late_s if late_s > OVERLAP_S and late_s < AHEAD_S else 0.0
        moves_s.append(move_s)
    return moves_s


def _moves_of_sound(sound: Track, picture: Track, moves_s: list[float], together_bytes: float) -> list[float]:
    """Return what is added to the times of each run of the sound: as much as to the pictures that it begins with.

    A jump of the sound alone is none of the pictures': there it goes on where it was.
    """
    found_s: list[float] = []
    for number, run in enumerate(sound.runs):
        if not number:
            found_s.append(0.0)
            continue
        nearest = min(range(len(picture.runs)), key=lambda place: abs(picture.runs[place].position - run.position))
        if nearest and abs(picture.runs[nearest].position - run.position) <= together_bytes:
            found_s.append(moves_s[nearest])
        else:
            found_s.append(sound.seconds(sound.runs[number - 1])[1] + found_s[-1] - sound.seconds(run)[0])
    return found_s


def _clock(track: Track, moves_s: list[float]) -> Clock:
    return Clock(
        firsts=tuple(run.first for run in track.runs) or (0,),
        moves=tuple(round(move_s / track.time_base) for move_s in moves_s) or (0,),
        outliers=frozenset(track.outliers),
    )


def _named_rate(picture: VideoStream) -> float | None:
    rate = picture.average_rate or picture.guessed_rate
    return float(rate) if rate else None


def _rate(picture: VideoStream, track: Track, duration_s: float) -> float | None:
    """Return the frame rate that the header names, or the one that was found where it is another."""
    named = _named_rate(picture)
    if track.frames < 2 or duration_s <= 0:
        return named
    found = track.frames / duration_s
    return named if named and abs(found / named - 1) <= RATE_TOLERANCE else found


def _new_run(packet: Packet, number: int) -> Run:
    decoding = packet.dts if packet.dts is not None else packet.pts or 0
    start = packet.pts if packet.pts is not None else decoding
    run = Run(number, packet.pos or 0, start, start, decoding, first_decoding=decoding)
    _extend(run, packet)
    return run


def _extend(run: Run, packet: Packet) -> None:
    shown = packet.pts if packet.pts is not None else packet.dts
    assert shown is not None
    run.start, run.end = min(run.start, shown), max(run.end, shown + (packet.duration or run.step))
    if packet.dts is None:
        return
    if not run.count:
        run.first_decoding = packet.dts
    run.before = run.last if run.count else None
    run.last, run.count = packet.dts, run.count + 1
