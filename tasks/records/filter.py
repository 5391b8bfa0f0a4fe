"""Shards filtered to Arrow rows: read, judged record by record, and every record accounted for."""

import mmap
import os
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contracts.datasets import Damage, DropReason, Level, PlannedShard, Shard, ShardTally
from tasks.contracts.errors import DatasetError
from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.config import FilterConfig
from tasks.records.kernels.crc32c import MASK_DELTA
from tasks.records.kernels.example import FLOAT_BYTES, FRAME_ROWS, INT_BYTES, VIDEO_ROWS, Ints
from tasks.records.kernels.judge import MATCH, NO_MATCH, Rules, Verdict, choose
from tasks.records.kernels.walker import MIN_FRAME_BYTES, VERDICT, new_tables, walk
from tasks.records.kernels.wire import Bytes
from tasks.records.part_file import refuse_damage
from tasks.records.rows import FRAME_SCHEMA, SCHEMA, FrameRows, Rows, copy_rows, table_of

MAX_BYTES = (1 << 31) - 1  # a frame-level shard has about 0.4 GB; with this, 32-bit offsets never overflow
HEADER_BYTES = 12  # of a frame: its length, and the checksum of that
PACKED_BYTES = 1 << 16  # decompressed at a time: what is lost where the stream is damaged
READ_BYTES = (
    1 << 20
)  # at a time, and judged at once, from the processor's cache: from memory it takes three times as long
CUT_STREAM = "the compressed stream is cut off"
BROKEN_STREAM = "the compressed stream is damaged"
ANY_WRAPPER = 32 + zlib.MAX_WBITS  # GZIP or ZLIB, as the stream says
LARGE_BYTES = 1 << 26  # of a shard of frames, of which there are as many as of a hundred others: on large pages
FETCH = "Fetch it again: delete it and run `reelsift shards download`."

MAX_DAMAGE = 20  # places reported for one shard; the tally counts all
NOTED_RECORDS = 1024  # at a time; a shard has about a thousand, but a broken one may have any number
TABLE_BYTES = 1 << 24  # of rows that are copied into a table, and so are in memory twice, unless one shard has more


class ShardBytes(NamedTuple):
    """The frames of a shard as uint8, valid as long as the room that they were read into."""

    data: NDArray[np.uint8]
    fault: str = ""  # why a compressed stream ended before its end, in words that are the same on every machine


Look = Callable[[Bytes, int], object]


def read_shard(
    path: Path,
    size_bytes: int | None = None,
    room: Callable[[int], Bytes] | None = None,
    look: Look = lambda *_: None,
) -> ShardBytes:
    """Return the content of `path`, decompressed where TensorFlow wrote it with `GZIP` or `ZLIB`.

    Args:
        path: a TFRecord file.
        size_bytes: the size that it had when it was checked, where that is known.
        room: gives memory for so many bytes; by default what this thread uses again for its next shard.
        look: is given the content and how many bytes of it are there by now, each time that there are more.

    Raises:
        DatasetError: the file is missing, a folder, too big, or changes while it is read.
    """
    try:
        with FileIO(path) as file:
            data = _read(file, path, size_bytes, room or _workspace.buffer, look)
        if not is_compressed(data[:HEADER_BYTES].tobytes()):
            return ShardBytes(data)
        unpacked = _decompressed(data.tobytes(), path)
    except FileNotFoundError as error:
        raise DatasetError(f"There is no shard {path}. Fetch it with `reelsift shards download`.") from error
    except IsADirectoryError as error:
        raise DatasetError(f"{path} is a folder, not a shard. {FETCH}") from error
    except OSError as error:
        raise DatasetError(f"The shard {path} cannot be read: {error.strerror}. {FETCH}") from error
    look(unpacked.data, unpacked.data.size)
    return unpacked


def _read(file: FileIO, path: Path, size_bytes: int | None, room: Callable[[int], Bytes], look: Look) -> Bytes:
    before = os.fstat(file.fileno())
    size = before.st_size
    if size_bytes is not None and size != size_bytes:
        raise DatasetError(f"The shard {path} has {size} bytes, and had {size_bytes} when it was checked. {FETCH}")
    if size > MAX_BYTES:
        raise DatasetError(f"The file {path} has {size} bytes; a shard has at most {MAX_BYTES}. {FETCH}")
    data = room(size)[:size]
    done = 0
    while done < size and (count := file.readinto(data[done : done + READ_BYTES].data)):
        done += count
        if done >= min(size, HEADER_BYTES) and not is_compressed(data[:HEADER_BYTES].tobytes()):
            look(data, done)
    after = os.fstat(file.fileno())
    if done != size or (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
        raise DatasetError(f"The shard {path} changed while it was read ({size} bytes at first). {FETCH}")
    return data


def is_compressed(header: bytes) -> bool:
    """Say whether a file that begins so is a GZIP or ZLIB stream, and not TFRecord frames.

    A frame begins with its length and the checksum of that, which a compressed stream has there by chance alone.
    """
    is_gzip = header[:3] == b"\x1f\x8b\x08"
    if len(header) < HEADER_BYTES:
        return is_gzip
    is_zlib = header[0] & 0x8F == 0x08 and int.from_bytes(header[:2], "big") % 31 == 0  # RFC 1950
    if not is_gzip and not is_zlib:
        return False
    crc = google_crc32c.value(header[:8])
    masked = ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF
    return masked != int.from_bytes(header[8:], "little")


def _decompressed(packed: bytes, path: Path) -> ShardBytes:
    """Decompress a stream, or several one after the other, as far as they are whole.

    Raises:
        DatasetError: it grows beyond what a shard may be.
    """
    content, at, stream, fault = bytearray(), 0, zlib.decompressobj(ANY_WRAPPER), ""
    try:
        while at < len(packed):
            if stream.eof:
                stream = zlib.decompressobj(ANY_WRAPPER)
            content += stream.decompress(packed[at : at + PACKED_BYTES])
            at = min(at + PACKED_BYTES, len(packed)) - len(stream.unused_data)
            if len(content) > MAX_BYTES:
                raise DatasetError(f"The shard {path} decompresses to more than {MAX_BYTES} bytes. {FETCH}")
    except zlib.error:
        fault = BROKEN_STREAM
    if not fault and not stream.eof:
        fault = CUT_STREAM
    return ShardBytes(np.frombuffer(content, np.uint8), fault)


def _mapped(size: int) -> Bytes:
    """Return room for a shard, which starts on a page: reading into another runs several times slower."""
    # Read rather than mapped, as a file that changes under a map would change between being checked and being copied.
    private = mmap.mmap(-1, size + size // 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= LARGE_BYTES and (huge := getattr(mmap, "MADV_HUGEPAGE", None)) is not None:
        with suppress(OSError):  # a kernel without them
            private.madvise(huge)
    return np.frombuffer(private, np.uint8)


_spare: deque[Bytes] = deque(maxlen=2)  # rooms of shards of frames whose rows have been copied, by whichever thread


def _lent(size: int) -> Bytes:
    """Return room that is the caller's, for a shard whose rows are copied later; a spare one that is large enough."""
    try:
        room = _spare.pop()
    except IndexError:
        return _mapped(size)
    return room if room.size >= size else _mapped(size)


def let_go_of_rooms() -> None:
    """Give the memory of shards of frames back, when no more are to be filtered."""
    _spare.clear()


class _Workspace(threading.local):
    """What a thread uses again for its next shard: memory that is new each time is mapped and zeroed each time."""

    def __init__(self) -> None:
        self._buffer = np.empty(0, np.uint8)
        self._rules: tuple[FilterConfig, Rules] | None = None
        self._tables: dict[Level, tuple[Ints, Ints]] = {"video": new_tables(NOTED_RECORDS)}

    def buffer(self, size: int) -> Bytes:
        """Return room for a shard, until this is called again."""
        if self._buffer.size < size:
            self._buffer = np.empty(0, np.uint8)  # let go of the old one first
            self._buffer = _mapped(size)
        return self._buffer

    def tables(self, level: Level) -> tuple[Ints, Ints]:
        """Return room for what is noted of some records."""
        if level not in self._tables:
            self._tables[level] = new_tables(NOTED_RECORDS, FRAME_ROWS if level == "frame" else VIDEO_ROWS)
        return self._tables[level]

    def rules(self, config: FilterConfig) -> Rules:
        """Return the rules of `config` for a shard that begins."""
        if self._rules is None or (self._rules[0] is not config and self._rules[0] != config):
            self._rules = config, _rules(config)
        rules = self._rules[1]
        rules.seen.fill(-1)
        return rules


_workspace = _Workspace()

DAMAGED = slice(Verdict.TRUNCATED, Verdict.MALFORMED + 1)  # verdicts that are reported with their places
REASONS = {  # in the order of a tally's drops, which is that of `DropReason`
    Verdict.EXCLUDED: DropReason.NO_MATCH,
    Verdict.NO_MATCH: DropReason.NO_MATCH,
    Verdict.NO_LABELS: DropReason.NO_LABELS,
    Verdict.BAD_LENGTH_CRC: DropReason.BAD_CRC,
    Verdict.BAD_DATA_CRC: DropReason.BAD_CRC,
    Verdict.TRUNCATED: DropReason.TRUNCATED,
    Verdict.MALFORMED: DropReason.MALFORMED,
    Verdict.MISSING_FEATURE: DropReason.MISSING_FEATURE,
    Verdict.WRONG_LENGTH: DropReason.WRONG_LENGTH,
    Verdict.NO_FRAMES: DropReason.NO_FRAMES,
    Verdict.UNEVEN_FRAMES: DropReason.UNEVEN_FRAMES,
    Verdict.NON_FINITE: DropReason.NON_FINITE,
    Verdict.LABEL_OUT_OF_RANGE: DropReason.LABEL_OUT_OF_RANGE,
}
DETAILS = {
    Verdict.TRUNCATED: "the file ends within this record",
    Verdict.BAD_LENGTH_CRC: "the checksum of the record's length is wrong, so nothing after it can be found",
    Verdict.BAD_DATA_CRC: "the checksum of the record's data is wrong",
    Verdict.MALFORMED: "the record is not a tf.train.Example with an id in UTF-8",
}
NO_SEQUENCE = "the record is not a tf.train.SequenceExample with an id in UTF-8"


class FilteredShard:
    """The rows of a shard and the tally of all its records.

    Table and tally are made when they are asked for, and best for many shards after another: right after a shard has
    been read, it fills the processor's caches, and code that makes objects takes three times as long.
    """

    def __init__(self, shard: PlannedShard, counts: Ints, damage: tuple[Damage, ...], rows: Rows | FrameRows) -> None:
        self.rows, self.damage = rows, damage
        self._shard, self._counts = shard, counts

    def __iter__(self) -> Iterator[Any]:
        """Yield the table, then the tally."""
        yield self.table
        yield self.tally

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, as `SCHEMA` has them; or with frames, as `FRAME_SCHEMA` does, in small tables and once."""
        return self.rows.tables()

    @cached_property
    def table(self) -> pa.Table:
        """All rows in memory."""
        if isinstance(self.rows, Rows):
            return table_of([self.rows])
        return pa.concat_tables([FRAME_SCHEMA.empty_table(), *self.rows.tables()])

    @cached_property
    def tally(self) -> ShardTally:
        """The tally of the records."""
        shard, counts, drops = self._shard, self._counts.tolist(), dict[DropReason, int]()
        background = len(self.rows.is_match) - counts[MATCH]
        counts[NO_MATCH] -= background
        for verdict, reason in REASONS.items():
            if counts[verdict]:
                drops[reason] = drops.get(reason, 0) + counts[verdict]
        return ShardTally(
            name=shard.name,
            partition=shard.partition,
            md5=shard.md5,
            records=sum(counts) + background,
            matches=counts[MATCH],
            background=background,
            drops=drops,
            damage=self.damage,
        )


class FilteredShards(NamedTuple):
    """The rows of several shards in one table, and the tally of each."""

    table: pa.Table
    tallies: tuple[ShardTally, ...]


def filter_shards(shards: Sequence[Shard], config: FilterConfig, threads: int = 1) -> FilteredShards:
    """Return the rows that `config` keeps of all shards, in memory, in the order given and of the files.

    Raises:
        DatasetError: a file cannot be read, or is not as it was when it was checked, or changes meanwhile.
        DamagedShardError: a shard is damaged and `config.strict` is set.
    """
    waiting, done = deque(enumerate(shards)), dict[int, FilteredShard]()
    with ThreadPoolExecutor(max(threads - 1, 1), thread_name_prefix="filter") as pool:
        others = [pool.submit(_filter_waiting, waiting, done, config) for _ in range(threads - 1)]
        _filter_waiting(waiting, done, config)
        for other in others:
            other.result()
    in_order = deque(done[at] for at in range(len(shards)))
    done.clear()
    tallies = tuple(each.tally for each in in_order)
    schema = SCHEMA if config.level == "video" else FRAME_SCHEMA
    return FilteredShards(pa.concat_tables([schema.empty_table(), *_tables(in_order)]), tallies)


def _filter_waiting(waiting: deque[tuple[int, Shard]], done: dict[int, FilteredShard], config: FilterConfig) -> None:
    """Filter shards until none is waiting: a thread that has finished never waits for another one."""
    while True:
        try:
            at, shard = waiting.popleft()
        except IndexError:
            return
        try:
            done[at] = filter_shard(shard, config)
            if config.level == "frame":
                _ = done[at].table  # here rather than later: until then, all of the shard is in memory
        except BaseException:
            waiting.clear()  # so that the other threads end
            raise


def _tables(done: deque[FilteredShard]) -> Iterator[pa.Table]:
    """Take shards out of `done` and make tables of them, each of as many as have `TABLE_BYTES` together."""
    rows, size = list[Rows](), 0
    while done:
        each = done.popleft()
        if isinstance(each.rows, FrameRows):
            yield each.table
            continue
        size += each.rows.nbytes
        if rows and size > TABLE_BYTES:
            yield table_of(rows)
            rows, size = [], each.rows.nbytes
        rows.append(each.rows)
    if rows:
        yield table_of(rows)


def filter_shard(shard: Shard, config: FilterConfig) -> FilteredShard:
    """Return the rows of `shard` that `config` keeps, in the order of the file.

    Raises:
        DatasetError: the file cannot be read, or is not as it was when it was checked, or changes meanwhile.
        DamagedShardError: the shard is damaged and `config.strict` is set.
    """
    return filter_file(shard, shard.path, config, shard.size_bytes)


def filter_file(shard: PlannedShard, path: Path, config: FilterConfig, size_bytes: int | None = None) -> FilteredShard:
    """Do the same for a shard at `path`, whatever its size where that is not known."""
    lent = list[Bytes]()

    def room(size: int) -> Bytes:
        lent.append(_lent(size))
        return lent[0]

    is_video = config.level == "video"
    judged = _Judged(config)
    data, fault = read_shard(path, size_bytes, None if is_video else room, judged.look)
    features, is_match = judged.kept(data, config.background)
    if is_video:
        rows = copy_rows(data, features, is_match, shard.name)
    else:
        rows = FrameRows(shard.name, data, features, is_match, lambda: _spare.extend(lent))
    damage = (_damage(shard, offset, Verdict(verdict), config.level) for offset, verdict in judged.damaged)
    filtered = FilteredShard(shard, judged.counts, (*damage, *_file_damage(shard, data.size, fault)), rows)
    if config.strict and filtered.damage:
        refuse_damage(filtered.tally, path)
    return filtered


def compile_kernels() -> None:
    """Compile what judges and copies records, which takes half a minute once, and keep it on the disk.

    Else it is done for the first shard, by each process that begins before one has finished.
    """
    data, config = np.zeros(MIN_FRAME_BYTES, np.uint8), FilterConfig(label_ids=(0,), background=1)
    judged = _Judged(config)
    judged.look(data, data.size)
    features, is_match = judged.kept(data, config.background)
    copy_rows(data, features, is_match, "")
    frames = new_tables(1, FRAME_ROWS)[1]
    frames.fill(0)
    next(FrameRows("", data, frames, np.ones(1, np.bool_), list).tables())


class _Judged:
    """What became of the records of a shard, as far as it was read."""

    def __init__(self, config: FilterConfig) -> None:
        self.counts = np.zeros(len(Verdict), np.int64)  # by verdict
        self.damaged: list[tuple[int, int]] = []  # (offset, verdict) of the first few
        self._rules, self._tables = _workspace.rules(config), _workspace.tables(config.level)
        self._found = [(np.empty(0, np.int64), self._tables[1][:0])]  # of those that may be kept: verdicts, features
        self._at = 0

    def look(self, data: Bytes, ready: int) -> None:
        """Judge the records that have come: those that end within the first `ready` bytes, and were not judged yet."""
        heads, features = self._tables
        noted = len(heads)
        while noted == len(heads):  # else there are no more
            noted, self._at = walk(data, ready, self._at, self.counts, heads, features, self._rules)
            verdicts, wanted = heads[:noted, VERDICT], slice(noted)
            if any(self.counts[DAMAGED].tolist()):
                is_damaged = (verdicts >= DAMAGED.start) & (verdicts < DAMAGED.stop)
                self.damaged += heads[:noted][is_damaged][: MAX_DAMAGE - len(self.damaged)].tolist()
                wanted = np.flatnonzero(~is_damaged)
            self._found.append((verdicts[wanted].copy(), features[wanted].copy()))

    def kept(self, data: Bytes, background: int | str) -> tuple[Ints, NDArray[np.bool_]]:
        """Return where the records that are kept have their values, in the order of the file, and which match."""
        verdicts, features = map(np.concatenate, zip(*self._found, strict=True))
        is_match = verdicts == MATCH
        if background in {0, "all"}:
            return features, is_match
        unmatched = np.flatnonzero(~is_match)
        sampled = unmatched[choose(data, features[unmatched], int(background) * int(is_match.sum()))]
        kept = np.sort(np.concatenate([np.flatnonzero(is_match), sampled]))
        return features[kept], is_match[kept]


def _rules(config: FilterConfig) -> Rules:
    roles = np.zeros(config.vocabulary_size, np.int32)
    roles[list(config.exclude_ids)] = -1
    roles[list(config.label_ids)] = np.arange(1, len(config.label_ids) + 1)
    need = len(config.label_ids) if config.match == "all" else 1
    seen = np.full(len(config.label_ids) + 1, -1, np.int64)
    room = np.empty(max(RGB_SIZE * FLOAT_BYTES, 2 * config.vocabulary_size * INT_BYTES), np.uint8)
    wanted = (Verdict.MATCH, Verdict.NO_MATCH) if config.background else (Verdict.MATCH,)
    noted = sum(1 << verdict for verdict in (*wanted, *range(DAMAGED.start, DAMAGED.stop)))
    return Rules(roles, need, seen, room, RGB_SIZE, AUDIO_SIZE, config.check_crc, noted)


def _file_damage(shard: PlannedShard, size_bytes: int, fault: str) -> tuple[Damage, ...]:
    """Describe what is wrong with a file as a whole, where its records are none or not all there are."""
    if not fault and size_bytes:
        return ()
    reason = DropReason.BAD_CRC if fault == BROKEN_STREAM else DropReason.TRUNCATED
    path = f"{shard.partition}/{shard.name}"
    return (Damage(path=path, offset=size_bytes, reason=reason, detail=fault or "the file is empty"),)


def _damage(shard: PlannedShard, offset: int, verdict: Verdict, level: Level) -> Damage:
    """Describe damage in words that are the same on every machine."""
    path = f"{shard.partition}/{shard.name}"
    detail = NO_SEQUENCE if verdict == Verdict.MALFORMED and level == "frame" else DETAILS[verdict]
    return Damage(path=path, offset=offset, reason=REASONS[verdict], detail=detail)
