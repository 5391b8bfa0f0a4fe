"""One shard to the rows that are wanted.

In: a shard on the disk and what to keep. Out: an Arrow table and a tally of what became of every record. Does not
know of other shards: the result depends on this shard's bytes and the options alone.

Of several reasons to drop a record, it is counted under the first of these: truncated, bad-crc, malformed,
missing-feature, wrong-length, non-finite, no-labels, label-out-of-range, no-match. All but the last do not depend
on the labels wanted: a record dropped for no match is whole and well.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.contracts.artifacts import AUDIO_SIZE, RGB_SIZE, Damage, DropReason, PlannedShard, Shard, ShardTally
from tasks.records.background import choose
from tasks.records.config import FilterConfig
from tasks.records.damage import refuse_damage
from tasks.records.example import FLOAT_BYTES, INT_BYTES, Ints
from tasks.records.judge import Rules, Verdict
from tasks.records.reading import BROKEN_STREAM, read_shard
from tasks.records.rows import rows_of
from tasks.records.walker import MIN_FRAME_BYTES, VERDICT, new_tables, walk
from tasks.records.wire import Bytes

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
