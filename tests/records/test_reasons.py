"""Of several faults a record has the first; every record is counted once; background is chosen by hash."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contracts.datasets import VOCABULARY_SIZE, DropReason, FilterConfig
from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.filter import FilteredShard, filter_shard
from tasks.records.synthetic import encode_example
from tests.records.framing import frame
from tests.records.shards import shard_with

WANTED, OTHER, UNWANTED = 22, 3, 9
OPTIONS = FilterConfig(label_ids=(WANTED,), exclude_ids=(UNWANTED,))


def zeros(size: int) -> NDArray[np.float32]:
    return np.zeros(size, np.float32)


@dataclass
class Record:
    """A record of which any part can be spoilt."""

    video_id: bytes = b"Xz9H"
    labels: list[int] = field(default_factory=lambda: [OTHER, WANTED])
    rgb: NDArray[np.float32] = field(default_factory=lambda: zeros(RGB_SIZE))
    audio: NDArray[np.float32] = field(default_factory=lambda: zeros(AUDIO_SIZE))
    after: bytes = b""  # of the payload
    checksum_flip: int = 0
    cut: int = 0  # bytes off the end of the file

    def framed(self) -> bytes:
        content = bytearray(frame(encode_example(self.video_id, self.labels, self.rgb, self.audio) + self.after))
        content[-1] ^= self.checksum_flip
        return bytes(content[: len(content) - self.cut])


FAULTS: dict[DropReason, Callable[[Record], object]] = {  # in the order that filter.py documents
    DropReason.TRUNCATED: lambda each: setattr(each, "cut", 5),
    DropReason.BAD_CRC: lambda each: setattr(each, "checksum_flip", 1),
    DropReason.MALFORMED: lambda each: setattr(each, "after", b"\xff"),
    DropReason.MISSING_FEATURE: lambda each: setattr(each, "video_id", b""),
    DropReason.WRONG_LENGTH: lambda each: setattr(each, "audio", zeros(AUDIO_SIZE + 1)),
    DropReason.NON_FINITE: lambda each: each.rgb.fill(np.nan),
    DropReason.NO_LABELS: lambda each: each.labels.clear(),
    DropReason.LABEL_OUT_OF_RANGE: lambda each: each.labels.append(VOCABULARY_SIZE),
    DropReason.NO_MATCH: lambda each: each.labels.remove(WANTED),
}
EXCLUSIVE = {DropReason.NO_LABELS, DropReason.LABEL_OUT_OF_RANGE, DropReason.NO_MATCH}
PAIRS = [pair for pair in combinations(FAULTS, 2) if DropReason.NO_LABELS not in pair or not EXCLUSIVE.issuperset(pair)]


def spoilt(*faults: DropReason) -> bytes:
    record = Record()
    for fault in faults:
        FAULTS[fault](record)
    return record.framed()


def filtered(folder: Path, records: Iterable[bytes], **options: object) -> FilteredShard:
    shard = shard_with(folder / "train9H.tfrecord", b"".join(records))
    return filter_shard(shard, OPTIONS.model_copy(update=options))


# No record's: videos of one's own are left out for these, which tests/imports shows.
NOT_FETCHED = {DropReason.WITHDRAWN, DropReason.RESTRICTED, DropReason.RATE_LIMITED, DropReason.REFUSED}
OF_IMPORTS = {DropReason.BROKEN_VIDEO, DropReason.NOT_FETCHED, DropReason.NOTHING_SHOWN, DropReason.DUPLICATE}

OF_FRAMES = {DropReason.NO_FRAMES, DropReason.UNEVEN_FRAMES}  # which tests/records/test_sequence.py shows


def test_there_is_a_fault_for_every_reason() -> None:
    assert set(FAULTS) == set(DropReason) - OF_IMPORTS - NOT_FETCHED - OF_FRAMES


@pytest.mark.parametrize("faults", PAIRS, ids=lambda pair: f"{pair[0]} before {pair[1]}")
def test_of_two_faults_the_first_counts(faults: tuple[DropReason, DropReason], tmp_path: Path) -> None:
    table, tally = filtered(tmp_path, [Record().framed(), spoilt(*faults)], background="all")
    assert tally.drops == {faults[0]: 1}
    assert (tally.records, tally.matches, tally.background, table.num_rows) == (2, 1, 0, 1)


def kinds() -> dict[str, bytes]:
    """One record of every kind that may stand anywhere in a shard."""
    reasons = [reason for reason in FAULTS if reason not in {DropReason.TRUNCATED, DropReason.NO_MATCH}]
    excluded = Record(labels=[WANTED, UNWANTED]).framed()
    whole = {"match": Record().framed(), "other": spoilt(DropReason.NO_MATCH), "excluded": excluded}
    return {**whole, **{reason.value: spoilt(reason) for reason in reasons}}


@pytest.mark.parametrize("background", [0, 1, 3, "all"], ids=lambda background: f"background {background}")
def test_every_record_is_counted_once(background: int | str, tmp_path: Path) -> None:
    random, content = Random(4), kinds()
    for _ in range(12):
        shown = random.choices(list(content), k=random.randrange(1, 90))
        given = Counter(shown)
        table, tally = filtered(tmp_path, map(content.__getitem__, shown), background=background)
        room = given["other"] if background == "all" else min(given["other"], int(background) * given["match"])
        dropped = given["other"] - room + given["excluded"]
        expected = {reason: given[reason.value] for reason in DropReason} | {DropReason.NO_MATCH: dropped}
        assert (tally.records, tally.matches, tally.background) == (len(shown), given["match"], room)
        assert tally.drops == {reason: count for reason, count in expected.items() if count}
        assert table.num_rows == tally.records - sum(tally.drops.values())


def hashed(video_id: bytes) -> int:
    """FNV-1a of 64 bits over salt and id, then MurmurHash3's finalizer, as background.py documents it."""
    every_bit = (1 << 64) - 1
    value = 0xCBF29CE484222325
    for byte in b"reelsift background 1" + video_id:
        value = (value ^ byte) * 0x100000001B3 & every_bit
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor & every_bit
    return value ^ value >> 33


@pytest.mark.parametrize("background", [1, 4])
def test_background_is_what_has_the_smallest_hashes(background: int, tmp_path: Path) -> None:
    ids = [f"{n:02x}{suffix}".encode() for n in range(40) for suffix in ("9H", "é")]
    others = [Record(video_id=video_id, labels=[OTHER]).framed() for video_id in ids]
    matches = [Record(video_id=b"match").framed()] * 5
    table, _ = filtered(tmp_path, [*others[:30], *matches, *others[30:]], background=background)
    rows = table.select(["video_id", "is_match"]).to_pylist()
    chosen = sorted(ids, key=hashed)[: background * len(matches)]
    assert [row["video_id"].encode() for row in rows if not row["is_match"]] == [each for each in ids if each in chosen]
