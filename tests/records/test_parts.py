"""Parts: found again, reused, whole after whatever happened, and always the same bytes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from tasks.contracts.datasets import DropReason, FilterConfig, PlannedShard
from tasks.contracts.errors import DamagedShardError, DatasetError, DiskSpaceError
from tasks.contracts.files import file_digest
from tasks.records.filter import SCHEMA
from tasks.records.parts import batches_of, find_part, missing_shards, options_key, options_of, part_key, write_part
from tasks.records.writing import GROUP_ROWS, write_rows
from tests.records.shards import planned, record, shard_of, shard_with

COOKING = FilterConfig(label_ids=(22,))
NAMES = ["trainaa", "trainab", "trainaB", "traina9", "trainba"]


class Shards:
    """A folder of small shards, in the order of their base-62 numbers."""

    def __init__(self, folder: Path, names: Sequence[str] = NAMES, records: int = 12) -> None:
        self.folder = folder
        self.all = [planned(shard_of(self._path(name), self._payloads(name, records))) for name in names]

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.tfrecord"

    def _payloads(self, name: str, records: int) -> list[bytes]:
        return [record(f"{n:02}{name[-2:]}".encode(), [22] if n % 3 else [4], seed=n) for n in range(records)]

    def locate(self, shard: PlannedShard) -> Path:
        return self.folder / shard.name


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(tmp_path / "shards")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def plan_of(*names: str, partition: str = "video/train") -> list[PlannedShard]:
    return [PlannedShard(name=f"{name}.tfrecord", partition=partition, md5=f"{n:032}") for n, name in enumerate(names)]


def test_keys_depend_on_all_that_changes_a_part() -> None:
    shards = plan_of("trainaa", "trainab")
    key = part_key(shards, COOKING)
    assert re.fullmatch(r"yt8m-filter-\d+-[0-9a-f]{64}", key)
    assert key == part_key(shards[::-1], COOKING)
    assert key == part_key(shards, COOKING.model_copy(update={"strict": True}))
    other_bytes = [shards[0], shards[1].model_copy(update={"md5": "f" * 32})]
    assert len({key, part_key(shards[:1], COOKING), part_key(other_bytes, COOKING)}) == 3


CHANGES = [
    {"label_ids": (22, 23)},
    {"label_ids": (22, 23), "match": "all"},
    {"exclude_ids": (3,)},
    {"background": 2},
    {"background": "all"},
    {"vocabulary_size": 4716},
    {"check_crc": False},
    {"level": "frame"},
]


def test_options_that_differ_have_other_keys() -> None:
    configs = [COOKING, *(FilterConfig.model_validate({"label_ids": (22,), **change}) for change in CHANGES)]
    keys = {options_key(config) for config in configs}
    assert len(keys) == len(configs)
    assert all(re.fullmatch(r"[0-9a-f]{16}", key) for key in keys)
    fields = set(FilterConfig.model_fields) - {"strict"}
    assert set(options_of(FilterConfig(label_ids=(22,), level="frame"))) == fields
    assert set(options_of(COOKING)) == fields - {"level"}, "what is of whole videos keeps the ids that it always had"


def names_of(batches: Iterable[Iterable[PlannedShard]]) -> list[str]:
    return [shard.name for batch in batches for shard in batch]


def test_a_shard_stays_in_its_batch_when_more_are_selected() -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    everything = plan_of(*(f"train{x}{y}" for x in alphabet for y in alphabet), "odd-name", "other")
    everything += plan_of("validateaa", "validateab", partition="video/validate")
    rng = Random(0)
    some = rng.sample(everything, 300)
    whole_of = {shard: n for n, batch in enumerate(batches_of(everything)) for shard in batch}
    for batch in batches_of(some):
        assert len({whole_of[shard] for shard in batch}) == 1
        assert len({shard.partition for shard in batch}) == 1
    assert batches_of(some) == batches_of(rng.sample(some, len(some)))
    assert sorted(names_of(batches_of(some))) == sorted(names_of([some]))
    assert [len(batch) for batch in batches_of(everything[:3844])] == [64] * 60 + [4]


def test_a_part_holds_the_rows_of_its_shards_and_what_became_of_the_others(shards: Shards, store: Path) -> None:
    part = write_part(store, shards.all, COOKING, shards.locate)
    path = store / part.path
    assert (part.rows, part.matches, part.partition) == (40, 40, "video/train")
    assert (part.size_bytes, part.sha256) == (path.stat().st_size, file_digest(path))
    assert [tally.drops for tally in part.shards] == [{DropReason.NO_MATCH: 4}] * 5
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    # In the order of their base-62 numbers, in which small letters come before capitals, and those before digits.
    order = ["trainaa", "trainab", "trainaB", "traina9", "trainba"]
    assert table["shard"].to_pylist() == [f"{name}.tfrecord" for name in order for _ in range(8)]
    assert find_part(store, shards.all, COOKING) == part
    assert find_part(store, shards.all[:2], COOKING) is None
    assert find_part(store, shards.all, COOKING.model_copy(update={"check_crc": False})) is None


def test_floats_are_kept_in_byte_streams_without_dictionary_or_statistics(shards: Shards, store: Path) -> None:
    part = write_part(store, shards.all, COOKING, shards.locate)
    metadata = pq.read_metadata(store / part.path)
    group = metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    for name in ("mean_rgb.list.element", "mean_audio.list.element"):
        assert "BYTE_STREAM_SPLIT" in columns[name].encodings
        assert (columns[name].has_dictionary_page, columns[name].statistics) == (False, None)
        assert columns[name].compression == "ZSTD"
    names = [tally["name"] for tally in json.loads(metadata.metadata[b"reelsift.shards"])]
    assert names == [shard.name for shard in shards.all]


def test_the_order_of_the_shards_and_the_place_do_not_matter(shards: Shards, tmp_path: Path) -> None:
    one = write_part(tmp_path / "one", shards.all, COOKING, shards.locate)
    other = write_part(tmp_path / "other", shards.all[::-1], COOKING, shards.locate)
    assert one == other


def test_a_part_that_is_there_is_not_written_again(shards: Shards, store: Path) -> None:
    part = write_part(store, shards.all, COOKING, shards.locate)
    before = (store / part.path).stat()
    for shard in shards.all:
        shards.locate(shard).unlink()
    assert write_part(store, shards.all, COOKING, shards.locate) == part
    assert (store / part.path).stat() == before


@pytest.mark.parametrize("background", [0, 1, "all"], ids=lambda background: f"background {background}")
def test_rows_of_other_parts_are_reused_and_the_bytes_are_those_of_a_fresh_filter(
    background: int | str, shards: Shards, tmp_path: Path
) -> None:
    config = FilterConfig.model_validate({"label_ids": (22,), "background": background})
    fresh = write_part(tmp_path / "fresh", shards.all, config, shards.locate)
    store = tmp_path / "store"
    write_part(store, [shards.all[1], shards.all[4]], config, shards.locate)
    write_part(store, [shards.all[3]], config, shards.locate)
    assert missing_shards(store, shards.all, config) == (shards.all[0], shards.all[2])
    for shard in (shards.all[1], shards.all[3], shards.all[4]):
        shards.locate(shard).unlink()
    assert write_part(store, shards.all, config, shards.locate) == fresh
    assert missing_shards(store, shards.all, config) == ()


def test_rows_are_reused_across_the_bounds_of_row_groups(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "shards", ["trainaa", "trainab", "trainac"], records=1100)
    config = COOKING.model_copy(update={"background": "all"})
    fresh = write_part(tmp_path / "fresh", shards.all, config, shards.locate)
    assert pq.read_metadata(tmp_path / "fresh" / fresh.path).num_row_groups == 2
    assert GROUP_ROWS < 2 * 1100
    write_part(tmp_path / "store", shards.all[1:], config, shards.locate)
    assert write_part(tmp_path / "store", shards.all, config, shards.locate) == fresh


def test_shards_with_other_bytes_are_not_reused(shards: Shards, store: Path) -> None:
    write_part(store, shards.all, COOKING, shards.locate)
    changed = planned(shard_of(shards.locate(shards.all[0]), [record(b"newa", [22])]))
    assert missing_shards(store, [changed, *shards.all[1:]], COOKING) == (changed,)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


SPOILED: dict[str, Callable[[Path], object]] = {
    "a bit flipped": damage,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "emptied": lambda path: path.write_bytes(b""),
    "other content": lambda path: path.write_text("<html>"),
    "removed": lambda path: path.unlink(),
    "now a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_a_damaged_part_counts_as_none_and_is_made_anew(
    spoil: Callable[[Path], object], shards: Shards, store: Path
) -> None:
    part = write_part(store, shards.all, COOKING, shards.locate)
    path = store / part.path
    spoil(path)
    assert find_part(store, shards.all, COOKING) is None
    assert missing_shards(store, shards.all, COOKING) == tuple(shards.all)
    if path.is_dir():
        path.rmdir()
    assert write_part(store, shards.all, COOKING, shards.locate) == part
    assert file_digest(path) == part.sha256


def test_no_rows_are_a_part_as_well(tmp_path: Path, store: Path) -> None:
    shard = planned(shard_of(tmp_path / "trainaa.tfrecord", [record(b"aaaa", [1])]))
    part = write_part(store, [shard], COOKING, lambda _: tmp_path / "trainaa.tfrecord")
    assert (part.rows, pq.read_table(store / part.path).num_rows) == (0, 0)
    assert find_part(store, [shard], COOKING) == part


def test_shards_are_discarded_only_when_their_part_is_on_the_disk(shards: Shards, store: Path) -> None:
    last = shards.locate(shards.all[-1])
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(DatasetError, match=r"There is no shard .*trainba\.tfrecord"):
        write_part(store, shards.all, COOKING, shards.locate, discard_shards=True)
    assert all(shards.locate(shard).exists() for shard in shards.all[:-1])
    assert list(store.rglob("*.*")) == []
    last.write_bytes(content)
    write_part(store, shards.all, COOKING, shards.locate, discard_shards=True)
    assert not any(shards.locate(shard).exists() for shard in shards.all)


def test_shards_of_a_part_that_is_there_are_discarded_too(shards: Shards, store: Path) -> None:
    write_part(store, shards.all, COOKING, shards.locate)
    shards.locate(shards.all[0]).unlink()
    write_part(store, shards.all, COOKING, shards.locate, discard_shards=True)
    assert not any(shards.locate(shard).exists() for shard in shards.all)


def test_a_part_that_another_process_wrote_meanwhile_is_taken(shards: Shards, store: Path) -> None:
    """The other one has discarded the shards, so that this one finds them gone."""
    parts = []

    def locate(shard: PlannedShard) -> Path:
        if not parts:
            parts.append(write_part(store, shards.all, COOKING, shards.locate, discard_shards=True))
        return shards.locate(shard)

    assert write_part(store, shards.all, COOKING, locate) == parts[0]


def test_damage_is_told_the_same_whether_rows_are_fresh_or_reused(shards: Shards, tmp_path: Path) -> None:
    path = shards.locate(shards.all[1])
    broken = planned(shard_with(path, path.read_bytes()[:-5]))
    batch = [shards.all[0], broken, shards.all[2]]
    fresh = write_part(tmp_path / "fresh", batch, COOKING, shards.locate)
    store = tmp_path / "store"
    write_part(store, [broken], COOKING, shards.locate)
    assert write_part(store, batch, COOKING, shards.locate) == fresh
    (place,) = fresh.shards[1].damage
    assert (place.path, place.reason) == ("video/train/trainab.tfrecord", DropReason.TRUNCATED)


def test_strict_refuses_damage_fresh_found_and_reused(shards: Shards, tmp_path: Path) -> None:
    path = shards.locate(shards.all[1])
    broken = planned(shard_with(path, path.read_bytes()[:-5]))
    store, strict = tmp_path / "store", COOKING.model_copy(update={"strict": True})
    with pytest.raises(DamagedShardError, match=re.escape(f"{path} is damaged at byte")):
        write_part(store, [broken], strict, shards.locate)
    write_part(store, [broken], COOKING, shards.locate)
    with pytest.raises(DamagedShardError, match=r"video/train/trainab\.tfrecord is damaged at byte"):
        find_part(store, [broken], strict)
    with pytest.raises(DamagedShardError, match=r"video/train/trainab\.tfrecord is damaged at byte"):
        write_part(store, [shards.all[0], broken], strict, shards.locate)


class Listener:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, float | None, str]] = []
        self.done = 0.0

    def begin(self, what: str, total: float | None, unit: str) -> None:
        self.begun.append((what, total, unit))

    def advance(self, what: str, amount: float) -> None:
        assert what == "records"
        self.done += amount


def test_progress_counts_shards_whether_filtered_reused_or_found(shards: Shards, store: Path) -> None:
    for batch in (shards.all[:2], shards.all, shards.all):
        listener = Listener()
        write_part(store, batch, COOKING, shards.locate, listener)
        assert (listener.begun, listener.done) == ([("records", len(batch), "shards")], len(batch))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_said_so() -> None:
    with pytest.raises(DiskSpaceError, match="No space is left in /dev for filtered records"):
        write_rows(Path("/dev/full"), [])


def test_what_a_killed_process_left_long_ago_is_cleared_away(shards: Shards, store: Path) -> None:
    folder = store / options_key(COOKING)
    folder.mkdir(parents=True)
    old, recent = folder / ".x-1.2-ab.tmp", folder / ".y-1.2-ab.tmp"
    for path in (old, recent):
        path.touch()
    two_days_ago = time.time() - 2 * 86400
    os.utime(old, (two_days_ago, two_days_ago))
    write_part(store, shards.all, COOKING, shards.locate)
    assert (old.exists(), recent.exists()) == (False, True)


WRITER = """
import sys
from pathlib import Path
from tasks.contracts.datasets import FilterConfig, PlannedShard
from tasks.records.parts import write_part
folder, store = Path(sys.argv[1]), Path(sys.argv[2])
shards = [PlannedShard.model_validate_json(line) for line in (folder / "plan").read_text().splitlines()]
config = FilterConfig(label_ids=(22,), background="all")
warm = write_part(store / "warm", shards[:1], config, lambda shard: folder / shard.name)
print("ready", flush=True)
sys.stdin.readline()
write_part(store, shards, config, lambda shard: folder / shard.name)
"""


def start_writer(shards: Shards, store: Path) -> subprocess.Popen[str]:
    (shards.folder / "plan").write_text("\n".join(shard.model_dump_json() for shard in shards.all))
    arguments = [sys.executable, "-c", WRITER, str(shards.folder), str(store)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def release(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_killed_at_any_moment_and_processes_at_once_leave_the_same_part(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "shards", [f"train{x}{y}" for x in "ab" for y in "abcdefgh"], records=150)
    config = COOKING.model_copy(update={"background": "all"})
    fresh = write_part(tmp_path / "fresh", shards.all, config, shards.locate)
    store = tmp_path / "store"
    for delay_s in (0.005, 0.03, 0.08):
        with start_writer(shards, store) as process:
            release(process)
            time.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
        found = find_part(store, shards.all, config)
        assert found is None or found == fresh
    with start_writer(shards, store) as one, start_writer(shards, store) as other:
        release(one)
        release(other)
    assert (one.returncode, other.returncode) == (0, 0)
    assert find_part(store, shards.all, config) == fresh
    visible = [path for path in (store / options_key(config)).iterdir() if not path.name.startswith(".")]
    assert visible == [store / fresh.path]


def test_floats_come_back_bit_for_bit(shards: Shards, store: Path) -> None:
    part = write_part(store, shards.all[:1], COOKING, shards.locate)
    column = pq.read_table(store / part.path)["mean_rgb"].combine_chunks().flatten().to_numpy()
    content = shards.locate(shards.all[0]).read_bytes()
    rows = column.reshape(part.rows, -1)
    assert all(rows[n].tobytes() in content for n in range(part.rows))
