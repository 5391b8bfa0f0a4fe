"""One shard filtered to Arrow rows."""

import mmap
import os
import threading
import zlib
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contracts.datasets import Damage, DropReason, PlannedShard, Shard, ShardTally
from tasks.contracts.errors import DatasetError
from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.config import FilterConfig
from tasks.records.kernels.crc32c import MASK_DELTA
from tasks.records.kernels.example import COUNT, FLOAT_BYTES, ID, INT_BYTES, LABELS, START, STOP, Ints
from tasks.records.kernels.judge import Rules, Verdict, choose
from tasks.records.kernels.walker import MIN_FRAME_BYTES, VERDICT, gather, new_tables, walk
from tasks.records.kernels.wire import Bytes
from tasks.records.part_file import refuse_damage

MAX_BYTES = (1 << 31) - 1  # a frame-level shard has about 0.4 GB; with this, 32-bit offsets never overflow
HEADER_BYTES = 12  # of a frame: its length, and the checksum of that
PACKED_BYTES = 1 << 16  # decompressed at a time: what is lost where the stream is damaged
CUT_STREAM = "the compressed stream is cut off"
BROKEN_STREAM = "the compressed stream is damaged"
ANY_WRAPPER = 32 + zlib.MAX_WBITS  # GZIP or ZLIB, as the stream says
FETCH = "Fetch it again: delete it and run `reelsift shards download`."

_buffers = threading.local()


class ShardBytes(NamedTuple):
    """The frames of a shard as uint8, valid until this thread reads its next shard."""

    data: NDArray[np.uint8]
    fault: str = ""  # why a compressed stream ended before its end, in words that are the same on every machine


def read_shard(path: Path, size_bytes: int | None = None) -> ShardBytes:
    """Return the content of `path`, decompressed where TensorFlow wrote it with `GZIP` or `ZLIB`.

    Args:
        path: a TFRecord file.
        size_bytes: the size that it had when it was checked, where that is known.

    Raises:
        DatasetError: the file is missing, a folder, too big, or changes while it is read.
    """
    try:
        with FileIO(path) as file:
            data = _read(file, path, size_bytes)
        if is_compressed(data[:HEADER_BYTES].tobytes()):
            return _decompressed(data.tobytes(), path)
        return ShardBytes(data)
    except FileNotFoundError as error:
        raise DatasetError(f"There is no shard {path}. Fetch it with `reelsift shards download`.") from error
    except IsADirectoryError as error:
        raise DatasetError(f"{path} is a folder, not a shard. {FETCH}") from error
    except OSError as error:
        raise DatasetError(f"The shard {path} cannot be read: {error.strerror}. {FETCH}") from error


def _read(file: FileIO, path: Path, size_bytes: int | None) -> NDArray[np.uint8]:
    before = os.fstat(file.fileno())
    size = before.st_size
    if size_bytes is not None and size != size_bytes:
        raise DatasetError(f"The shard {path} has {size} bytes, and had {size_bytes} when it was checked. {FETCH}")
    if size > MAX_BYTES:
        raise DatasetError(f"The file {path} has {size} bytes; a shard has at most {MAX_BYTES}. {FETCH}")
    data = _buffer(size)
    done = 0
    while done < size and (count := file.readinto(data[done:].data)):
        done += count
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


def _buffer(size: int) -> NDArray[np.uint8]:
    """Return this thread's own buffer, which starts on a page: reading into another runs several times slower.

    Read rather than mapped, as a file that changes under a map would change between being checked and being copied.
    """
    if size == 0:
        return np.empty(0, np.uint8)
    held: NDArray[np.uint8] | None = getattr(_buffers, "data", None)
    if held is None or held.size < size:
        _buffers.data = None  # let go of the old one first
        private = mmap.mmap(-1, size + size // 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        held = _buffers.data = np.frombuffer(private, np.uint8)
    return held[:size]


def _element(kind: pa.DataType) -> pa.Field:
    return pa.field("element", kind, nullable=False)  # nullable elements write and read a third slower


SCHEMA = pa.schema(
    [
        pa.field("video_id", pa.string(), nullable=False),
        pa.field("labels", pa.list_(_element(pa.int32())), nullable=False),
        pa.field("mean_rgb", pa.list_(_element(pa.float32()), RGB_SIZE), nullable=False),
        pa.field("mean_audio", pa.list_(_element(pa.float32()), AUDIO_SIZE), nullable=False),
        pa.field("shard", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("is_match", pa.bool_(), nullable=False),
    ]
)


def rows_of(data: Bytes, features: Ints, is_match: NDArray[np.bool_], shard: str) -> pa.Table:
    """Return the records whose features are given, in their order, as a table of `SCHEMA`."""
    count = len(features)
    id_ends = _ends(features[:, ID, STOP] - features[:, ID, START])
    label_ends = _ends(features[:, LABELS, COUNT])
    ids = np.empty(id_ends[-1], np.uint8)
    labels = np.empty(int(label_ends[-1]) * INT_BYTES, np.uint8)
    rgb, audio = (np.empty((count, size * FLOAT_BYTES), np.uint8) for size in (RGB_SIZE, AUDIO_SIZE))
    gather(data, features, ids, labels, rgb, audio)
    columns = [
        _texts(id_ends, ids),
        _lists(label_ends, labels.view(np.int64).astype(np.int32)),
        _vectors("mean_rgb", rgb),
        _vectors("mean_audio", audio),
        shard_column(shard, count),
        pa.Array.from_buffers(pa.bool_(), count, [None, pa.py_buffer(np.packbits(is_match, bitorder="little"))]),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def shard_column(name: str, count: int) -> pa.DictionaryArray:
    """Return a column that names one shard `count` times."""
    text = np.frombuffer(name.encode(), np.uint8)
    names = _texts(np.array([0, text.size], np.int32), text)
    return pa.DictionaryArray.from_arrays(_flat(pa.int32(), np.zeros(count, np.int32)), names)


def _ends(sizes: Ints) -> NDArray[np.int32]:
    """Return where each of some texts or lists ends when they stand end to end, with a 0 before."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def _flat(kind: pa.DataType, values: NDArray[Any]) -> pa.Array:
    """Take an array's memory as it is; `pa.array` would first import pandas, to see whether it is one of its own."""
    return pa.Array.from_buffers(kind, values.nbytes * 8 // kind.bit_width, [None, pa.py_buffer(values)])


def _texts(ends: NDArray[np.int32], characters: NDArray[np.uint8]) -> pa.Array:
    return pa.Array.from_buffers(pa.string(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(characters)])


def _lists(ends: NDArray[np.int32], values: NDArray[np.int32]) -> pa.Array:
    kind = SCHEMA.field("labels").type
    return pa.Array.from_buffers(kind, len(ends) - 1, [None, pa.py_buffer(ends)], children=[_flat(pa.int32(), values)])


def _vectors(name: str, floats: NDArray[np.uint8]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(_flat(pa.float32(), floats), type=SCHEMA.field(name).type)


MAX_DAMAGE = 20  # places reported for one shard; the tally counts all
TABLE_RECORDS = 1024  # judged at a time; a shard has about a thousand, but a broken one may have any number

REASONS = {
    Verdict.TRUNCATED: DropReason.TRUNCATED,
    Verdict.BAD_LENGTH_CRC: DropReason.BAD_CRC,
    Verdict.BAD_DATA_CRC: DropReason.BAD_CRC,
    Verdict.MALFORMED: DropReason.MALFORMED,
    Verdict.MISSING_FEATURE: DropReason.MISSING_FEATURE,
    Verdict.WRONG_LENGTH: DropReason.WRONG_LENGTH,
    Verdict.NON_FINITE: DropReason.NON_FINITE,
    Verdict.NO_LABELS: DropReason.NO_LABELS,
    Verdict.LABEL_OUT_OF_RANGE: DropReason.LABEL_OUT_OF_RANGE,
    Verdict.EXCLUDED: DropReason.NO_MATCH,
    Verdict.NO_MATCH: DropReason.NO_MATCH,
}
DETAILS = {
    Verdict.TRUNCATED: "the file ends within this record",
    Verdict.BAD_LENGTH_CRC: "the checksum of the record's length is wrong, so nothing after it can be found",
    Verdict.BAD_DATA_CRC: "the checksum of the record's data is wrong",
    Verdict.MALFORMED: "the record is not a tf.train.Example with an id in UTF-8",
}


class FilteredShard(NamedTuple):
    """The rows of a shard, as `SCHEMA` in rows.py has them, and what became of all its records."""

    table: pa.Table
    tally: ShardTally


def filter_shard(shard: Shard, config: FilterConfig) -> FilteredShard:
    """Return the rows of `shard` that `config` keeps, in the order of the file.

    Raises:
        DatasetError: the file cannot be read, or is not as it was when it was checked, or changes meanwhile.
        DamagedShardError: the shard is damaged and `config.strict` is set.
    """
    return filter_file(shard, shard.path, config, shard.size_bytes)


def filter_file(shard: PlannedShard, path: Path, config: FilterConfig, size_bytes: int | None = None) -> FilteredShard:
    """Do the same for a shard at `path`, whatever its size where that is not known."""
    data, fault = read_shard(path, size_bytes)
    judged = _judge_all(data, config)
    is_match = judged.verdicts == Verdict.MATCH
    kept = _kept(data, judged.features, is_match, config)
    tally = _tally(shard, judged, int(is_match.sum()), len(kept), _file_damage(shard, data.size, fault))
    if config.strict:
        refuse_damage(tally, path)
    return FilteredShard(rows_of(data, judged.features[kept], is_match[kept], shard.name), tally)


def compile_kernels() -> None:
    """Compile what judges and copies records, which takes half a minute once, and keep it on the disk.

    Else it is done for the first shard, by each process that begins before one has finished.
    """
    data, config = np.zeros(MIN_FRAME_BYTES, np.uint8), FilterConfig(label_ids=(0,), background=1)
    judged = _judge_all(data, config)
    choose(data, judged.features, 0)
    rows_of(data, judged.features, judged.verdicts == Verdict.MATCH, "")


class _Judged(NamedTuple):
    counts: NDArray[np.intp]  # by verdict
    damaged: list[tuple[int, int]]  # (offset, verdict) of the first few
    verdicts: NDArray[np.int64]  # of the records that may be kept: matches, and the unmatched where they are wanted
    features: Ints  # of the same records


def _judge_all(data: Bytes, config: FilterConfig) -> _Judged:
    rules = _rules(config)
    last_kept = Verdict.NO_MATCH if config.background else Verdict.MATCH
    heads, features = new_tables(min(TABLE_RECORDS, data.size // MIN_FRAME_BYTES + 1))
    counts, damaged, kept = np.zeros(len(Verdict), np.intp), [], [(heads[:0, VERDICT], features[:0])]
    at = 0
    while at < data.size:
        records, at = walk(data, at, heads, features, rules)
        verdicts = heads[:records, VERDICT]
        counts += np.bincount(verdicts, minlength=len(Verdict))
        wanted = (verdicts == Verdict.MATCH) | (verdicts == last_kept)
        kept.append((verdicts[wanted], features[:records][wanted]))
        broken = heads[:records][(verdicts >= Verdict.TRUNCATED) & (verdicts <= Verdict.MALFORMED)]
        damaged += broken[: MAX_DAMAGE - len(damaged)].tolist()
    return _Judged(counts, damaged, np.concatenate([v for v, _ in kept]), np.concatenate([f for _, f in kept]))


def _rules(config: FilterConfig) -> Rules:
    roles = np.zeros(config.vocabulary_size, np.int32)
    roles[list(config.exclude_ids)] = -1
    roles[list(config.label_ids)] = np.arange(1, len(config.label_ids) + 1)
    need = len(config.label_ids) if config.match == "all" else 1
    seen = np.full(len(config.label_ids) + 1, -1, np.int64)
    room = np.empty(max(RGB_SIZE * FLOAT_BYTES, config.vocabulary_size * INT_BYTES), np.uint8)
    return Rules(roles, need, seen, room, RGB_SIZE, AUDIO_SIZE, config.check_crc)


def _kept(data: Bytes, features: Ints, is_match: NDArray[np.bool_], config: FilterConfig) -> NDArray[np.intp]:
    """Return which of the records that may be kept are, in the order of the file."""
    if config.background in {0, "all"}:
        return np.arange(len(features))
    unmatched = np.flatnonzero(~is_match)
    sampled = unmatched[choose(data, features[unmatched], int(config.background) * int(is_match.sum()))]
    return np.sort(np.concatenate([np.flatnonzero(is_match), sampled]))


def _tally(shard: PlannedShard, judged: _Judged, matches: int, rows: int, of_file: tuple[Damage, ...]) -> ShardTally:
    drops = dict.fromkeys(DropReason, 0)
    for verdict, reason in REASONS.items():
        drops[reason] += int(judged.counts[verdict])
    drops[DropReason.NO_MATCH] -= rows - matches
    return ShardTally(
        name=shard.name,
        partition=shard.partition,
        md5=shard.md5,
        records=int(judged.counts.sum()),
        matches=matches,
        background=rows - matches,
        drops={reason: count for reason, count in drops.items() if count},
        damage=(*(_damage(shard, offset, Verdict(verdict)) for offset, verdict in judged.damaged), *of_file),
    )


def _file_damage(shard: PlannedShard, size_bytes: int, fault: str) -> tuple[Damage, ...]:
    """Describe what is wrong with a file as a whole, where its records are none or not all there are."""
    if not fault and size_bytes:
        return ()
    reason = DropReason.BAD_CRC if fault == BROKEN_STREAM else DropReason.TRUNCATED
    path = f"{shard.partition}/{shard.name}"
    return (Damage(path=path, offset=size_bytes, reason=reason, detail=fault or "the file is empty"),)


def _damage(shard: PlannedShard, offset: int, verdict: Verdict) -> Damage:
    """Describe damage in words that are the same on every machine."""
    path = f"{shard.partition}/{shard.name}"
    return Damage(path=path, offset=offset, reason=REASONS[verdict], detail=DETAILS[verdict])
