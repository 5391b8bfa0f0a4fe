"""Shards filtered to Arrow rows: read, judged record by record, and every record accounted for."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contracts.datasets import Damage, DropReason, FilterConfig, Level, PlannedShard, Shard, ShardTally
from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.kernels.example import FLOAT_BYTES, FRAME_ROWS, INT_BYTES, Ints
from tasks.records.kernels.judge import MATCH, NO_MATCH, Rules, Verdict, id_hashes, smallest
from tasks.records.kernels.walker import MIN_FRAME_BYTES, VERDICT, new_tables, walk
from tasks.records.kernels.wire import Bytes
from tasks.records.part_file import refuse_damage
from tasks.records.reading import BROKEN_STREAM, Opened, Piece, opened_shard, pieces, read_shard
from tasks.records.rows import FRAME_SCHEMA, SCHEMA, Rows, copy_rows, frame_tables, table_of

MAX_DAMAGE = 20  # places reported for one shard; the tally counts all
NOTED_RECORDS = 1024  # at a time; a shard has about a thousand, but a broken one may have any number
NOTED_FRAMED = 64  # of records of frames: a piece has about two dozen
TABLE_BYTES = 1 << 24  # of rows that are copied into a table, and so are in memory twice, unless one shard has more


class _Workspace(threading.local):
    """What a thread uses again for its next shard of whole videos."""

    def __init__(self) -> None:
        self._rules: tuple[FilterConfig, Rules] | None = None
        self.tables = new_tables(NOTED_RECORDS)  # room for what is noted of some records

    def rules(self, config: FilterConfig) -> Rules:
        """Return the rules of `config`."""
        if self._rules is None or (self._rules[0] is not config and self._rules[0] != config):
            self._rules = config, _rules(config)
        return self._rules[1]


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
NOTHING = np.empty(0, np.uint8)
NO_SEQUENCE = "the record is not a tf.train.SequenceExample with an id in UTF-8"


class Judgement(NamedTuple):
    """How the records of a shard were judged."""

    counts: Ints  # by verdict
    rows: int  # that are kept
    damage: tuple[Damage, ...]


class FilteredShard:
    """The rows of a shard and the tally of all its records.

    Table and tally are made when they are asked for, and best for many shards after another: right after a shard has
    been read, it fills the processor's caches, and code that makes objects takes three times as long.
    """

    def __init__(self, shard: PlannedShard, rows: Rows, judgement: Judgement) -> None:
        self.rows = rows
        self._shard, self._judgement = shard, judgement

    def __iter__(self) -> Iterator[Any]:
        """Yield the table, then the tally."""
        yield self.table
        yield self.tally

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, as `SCHEMA` has them."""
        yield self.table

    @cached_property
    def table(self) -> pa.Table:
        """All rows in memory."""
        return table_of([self.rows])

    @property
    def judgement(self) -> Judgement:
        """How the records were judged."""
        return self._judgement

    @cached_property
    def tally(self) -> ShardTally:
        """The tally of the records."""
        shard, judgement, drops = self._shard, self.judgement, dict[DropReason, int]()
        counts = judgement.counts.tolist()
        background = judgement.rows - counts[MATCH]
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
            damage=judgement.damage,
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
                _ = done[at].table  # here rather than later, as it is read by that
        except BaseException:
            waiting.clear()  # so that the other threads end
            raise


def _tables(done: deque[FilteredShard]) -> Iterator[pa.Table]:
    """Take shards out of `done` and make tables of them, each of as many as have `TABLE_BYTES` together."""
    rows, size = list[Rows](), 0
    while done:
        each = done.popleft()
        if isinstance(each, FramedShard):
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
    if config.level == "frame":
        return FramedShard(shard, path, config, size_bytes)
    judged, piece = _Judged(_workspace.rules(config), _workspace.tables), Piece(NOTHING, 0)
    found = [(np.empty(0, np.bool_), _workspace.tables[1][:0])]

    def look(data: Bytes, ready: int) -> None:
        piece.data, piece.ready = data, ready
        found.extend((is_match, features.copy()) for is_match, features in judged.noted(piece))

    data, fault = read_shard(path, size_bytes, look)
    is_match, features = map(np.concatenate, zip(*found, strict=True))
    if _is_sampled(config):
        kept = _kept(is_match, id_hashes(data, features[~is_match]), config)
        is_match, features = is_match[kept], features[kept]
    rows = copy_rows(data, features, is_match, shard.name)
    judgement = Judgement(judged.counts, len(is_match), judged.damage(shard, config.level, data.size, fault))
    filtered = FilteredShard(shard, rows, judgement)
    if config.strict:
        refuse_damage(filtered.tally, path)
    return filtered


class FramedShard(FilteredShard):
    """A shard of frames, which is read while its rows are taken, so that neither is in memory as a whole."""

    def __init__(self, shard: PlannedShard, path: Path, config: FilterConfig, size_bytes: int | None) -> None:
        self._shard, self._path, self._config, self._size_bytes = shard, path, config, size_bytes
        self._judgement: Judgement | None = None

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows, as `FRAME_SCHEMA` has them, in small tables. The tally is known after the last one.

        Raises:
            DatasetError: as `filter_shard` raises it.
            DamagedShardError: the shard is damaged and `config.strict` is set.
        """
        with opened_shard(self._path, self._size_bytes) as opened:
            kept = _sampled(opened, self._config) if _is_sampled(self._config) else None
            judged, piece, seen, rows = _judged_frames(self._config), Piece(NOTHING, 0), 0, 0
            for piece in pieces(opened):
                for is_match, features in judged.noted(piece):
                    here = slice(None) if kept is None else kept[seen : seen + len(is_match)]
                    seen += len(is_match)
                    rows += len(is_match[here])
                    yield from frame_tables(self._shard.name, piece.data, features[here], is_match[here])
        damage = judged.damage(self._shard, self._config.level, piece.offset + piece.ready, piece.fault)
        self._judgement = Judgement(judged.counts, rows, damage)
        if self._config.strict:
            refuse_damage(self.tally, self._path)

    @cached_property
    def table(self) -> pa.Table:
        """All rows in memory."""
        return pa.concat_tables([FRAME_SCHEMA.empty_table(), *self.tables()])

    @property
    def judgement(self) -> Judgement:
        """How the records were judged; reads the shard where that has not been done."""
        if self._judgement is None:
            _ = self.table
        assert self._judgement, "is known when all is read"
        return self._judgement


def compile_kernels() -> None:
    """Compile what judges and copies records, which takes half a minute once, and keep it on the disk.

    Else it is done for the first shard, by each process that begins before one has finished.
    """
    data, config = np.zeros(MIN_FRAME_BYTES, np.uint8), FilterConfig(label_ids=(0,))
    for is_match, features in _Judged(_workspace.rules(config), _workspace.tables).noted(Piece(data, data.size)):
        id_hashes(data, features)
        copy_rows(data, features, is_match, "")
    frames = new_tables(1, FRAME_ROWS)[1]
    frames.fill(0)
    next(frame_tables("", data, frames, np.ones(1, np.bool_)))


class _Judged:
    """Judges the records of a shard as they are read: counts verdicts, and keeps the places of damage."""

    def __init__(self, rules: Rules, tables: tuple[Ints, Ints]) -> None:
        self.counts = np.zeros(len(Verdict), np.int64)  # by verdict
        self._damaged: list[tuple[int, int]] = []  # (offset, verdict) of the first few
        self._rules, self._tables = rules, tables

    def noted(self, piece: Piece) -> Iterator[tuple[NDArray[np.bool_], Ints]]:
        """Judge the records that have come whole; of those that may be kept, yield which match, and the features.

        The features say where in the piece the values are, until the next ones are yielded.
        """
        heads, features = self._tables
        noted = len(heads)
        self._rules.seen.fill(-1)  # records are told apart by their place in the piece
        while noted == len(heads):  # else there are no more
            noted, piece.at = walk(piece.data, piece.ready, piece.at, self.counts, heads, features, self._rules)
            verdicts, wanted = heads[:noted, VERDICT], slice(noted)
            if any(self.counts[DAMAGED].tolist()):
                is_damaged = (verdicts >= DAMAGED.start) & (verdicts < DAMAGED.stop)
                first = heads[:noted][is_damaged][: MAX_DAMAGE - len(self._damaged)].tolist()
                self._damaged += [(piece.offset + at, verdict) for at, verdict in first]
                wanted = np.flatnonzero(~is_damaged)
            yield verdicts[wanted] == MATCH, features[wanted]

    def damage(self, shard: PlannedShard, level: Level, size_bytes: int, fault: str) -> tuple[Damage, ...]:
        """Describe the damage to records and to the file as a whole in words that are the same on every machine."""
        path = f"{shard.partition}/{shard.name}"
        found = list[Damage]()
        for offset, verdict in self._damaged:
            detail = NO_SEQUENCE if verdict == Verdict.MALFORMED and level == "frame" else DETAILS[Verdict(verdict)]
            found.append(Damage(path=path, offset=offset, reason=REASONS[Verdict(verdict)], detail=detail))
        if fault or not size_bytes:
            reason = DropReason.BAD_CRC if fault == BROKEN_STREAM else DropReason.TRUNCATED
            found.append(Damage(path=path, offset=size_bytes, reason=reason, detail=fault or "the file is empty"))
        return tuple(found)


def _judged_frames(config: FilterConfig) -> _Judged:
    """Return what judges records of frames; its own, as other shards are read in the same thread meanwhile."""
    return _Judged(_rules(config), new_tables(NOTED_FRAMED, FRAME_ROWS))


def _is_sampled(config: FilterConfig) -> bool:
    return config.background not in {0, "all"}


def _sampled(opened: Opened, config: FilterConfig) -> NDArray[np.bool_]:
    """Read a shard of frames, and return which of the records that may be kept are."""
    judged, matches, hashes = _judged_frames(config), [NOTHING.view(np.bool_)], [NOTHING.view(np.uint64)]
    for piece in pieces(opened):
        for is_match, features in judged.noted(piece):
            matches.append(is_match)
            hashes.append(id_hashes(piece.data, features[~is_match]))
    return _kept(np.concatenate(matches), np.concatenate(hashes), config)


def _kept(is_match: NDArray[np.bool_], hashes: NDArray[np.uint64], config: FilterConfig) -> NDArray[np.bool_]:
    """Return which records are kept: all that match, and of the others, whose hashes are given, a sample."""
    kept = is_match.copy()
    kept[np.flatnonzero(~is_match)[smallest(hashes, int(config.background) * int(is_match.sum()))]] = True
    return kept


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
