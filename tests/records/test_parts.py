"""Parts: the same bytes whatever the history, found only where they are whole, never lost to a kill."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tasks.contracts.artifacts import PlannedShard
from tasks.contracts.errors import DatasetError
from tasks.records.config import FilterConfig
from tasks.records.parts import batches_of, find_part, missing_shards, part_key, write_part
from tasks.shards.config import DownloadConfig
from tasks.shards.plan import fetch_plan

CONFIG = FilterConfig(label_ids=(22,), background=2)


@pytest.fixture
def planned(synthetic_mirror: Path) -> tuple[PlannedShard, ...]:
    return fetch_plan("video/train", DownloadConfig(mirrors=(str(synthetic_mirror),)))


def place(mirror: Path, shard: PlannedShard) -> Path:
    return mirror / "2" / shard.partition / shard.name


def write(store: Path, mirror: Path, shards: Sequence[PlannedShard], config: FilterConfig = CONFIG) -> bytes:
    part = write_part(store, shards, config, lambda shard: place(mirror, shard))
    return (store / part.path).read_bytes()


def nowhere(shard: PlannedShard) -> Path:
    return Path("/nowhere") / shard.name


def test_a_part_grown_from_another_has_the_bytes_of_a_fresh_one(
    planned: tuple[PlannedShard, ...], synthetic_mirror: Path, tmp_path: Path
) -> None:
    fresh = write(tmp_path / "fresh", synthetic_mirror, planned)
    for first in (planned[:1], planned[1:3], planned[3:], planned[::2]):
        store = tmp_path / f"grown-{first[0].name}-{len(first)}"
        write(store, synthetic_mirror, first)
        assert set(missing_shards(store, planned, CONFIG)) == set(planned) - set(first)
        assert write(store, synthetic_mirror, planned) == fresh
    assert write(tmp_path / "turned", synthetic_mirror, planned[::-1]) == fresh


def test_rows_that_are_kept_need_no_shard(
    planned: tuple[PlannedShard, ...], synthetic_mirror: Path, tmp_path: Path
) -> None:
    write(tmp_path, synthetic_mirror, planned)
    assert missing_shards(tmp_path, planned[:2], CONFIG) == ()
    smaller = write_part(tmp_path, planned[:2], CONFIG, nowhere)
    assert (tmp_path / smaller.path).read_bytes() == write(tmp_path / "fresh", synthetic_mirror, planned[:2])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1]), id="cut"),
        pytest.param(lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]), id="flipped"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.unlink(), id="gone"),
    ],
)
def test_a_damaged_part_is_not_found_and_made_again(
    planned: tuple[PlannedShard, ...], synthetic_mirror: Path, tmp_path: Path, damage: object
) -> None:
    fresh = write(tmp_path, synthetic_mirror, planned)
    part = find_part(tmp_path, planned, CONFIG)
    assert part is not None
    damage(tmp_path / part.path)  # type: ignore[operator]
    assert find_part(tmp_path, planned, CONFIG) is None
    assert set(missing_shards(tmp_path, planned, CONFIG)) == set(planned)
    assert write(tmp_path, synthetic_mirror, planned) == fresh


def test_a_missing_shard_is_named(planned: tuple[PlannedShard, ...], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"There is no shard /nowhere/trainaa\.tfrecord"):
        write_part(tmp_path, planned, CONFIG, nowhere)
    assert not list(tmp_path.rglob("*.parquet"))


def test_shards_are_discarded_once_their_rows_are_kept(
    planned: tuple[PlannedShard, ...], synthetic_mirror: Path, tmp_path: Path
) -> None:
    mine = {shard: tmp_path / shard.name for shard in planned}
    for shard, path in mine.items():
        path.write_bytes(place(synthetic_mirror, shard).read_bytes())
    mine[planned[-1]].unlink()
    with pytest.raises(DatasetError):
        write_part(tmp_path / "store", planned, CONFIG, mine.__getitem__, discard_shards=True)
    assert all(mine[shard].is_file() for shard in planned[:-1]), "nothing is discarded before the part is there"
    mine[planned[-1]].write_bytes(place(synthetic_mirror, planned[-1]).read_bytes())
    write_part(tmp_path / "store", planned, CONFIG, mine.__getitem__, discard_shards=True)
    assert not any(path.exists() for path in mine.values())


WRITER = """
import sys
from pathlib import Path
from tasks.records.parts import write_part
from tests.records.test_parts import CONFIG, place
from tasks.shards.config import DownloadConfig
from tasks.shards.plan import fetch_plan
mirror, store = Path(sys.argv[1]), Path(sys.argv[2])
shards = fetch_plan("video/train", DownloadConfig(mirrors=(str(mirror),)))
print("ready", flush=True)
write_part(store, shards, CONFIG, lambda shard: place(mirror, shard))
"""


def start_writer(mirror: Path, store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(mirror), str(store)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("after_s", [0.0, 0.4, 0.7, 0.9])
def test_a_killed_writer_leaves_nothing_half(
    planned: tuple[PlannedShard, ...], synthetic_mirror: Path, tmp_path: Path, after_s: float
) -> None:
    writer = start_writer(synthetic_mirror, tmp_path / "killed")
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(after_s)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    fresh = write(tmp_path / "fresh", synthetic_mirror, planned)
    assert [path.read_bytes() for path in (tmp_path / "killed").rglob("*.parquet")] in ([], [fresh])
    assert write(tmp_path / "killed", synthetic_mirror, planned) == fresh


def test_two_writers_at_once_agree(planned: tuple[PlannedShard, ...], synthetic_mirror: Path, tmp_path: Path) -> None:
    writers = [start_writer(synthetic_mirror, tmp_path / "store") for _ in range(2)]
    assert [writer.communicate()[0] and writer.returncode for writer in writers] == [0, 0]
    (path,) = (tmp_path / "store").rglob("*.parquet")
    assert path.read_bytes() == write(tmp_path / "fresh", synthetic_mirror, planned)


def shards_named(*names: str) -> tuple[PlannedShard, ...]:
    return tuple(PlannedShard(name=name, partition="video/train", md5=f"{n:032x}") for n, name in enumerate(names))


def test_a_shard_stays_in_its_batch_when_more_are_selected() -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    every = shards_named(*(f"train{a}{b}.tfrecord" for a in letters for b in letters), "odd.tfrecord")
    of = {shard: number for number, batch in enumerate(batches_of(every)) for shard in batch}
    assert max(len(batch) for batch in batches_of(every)) <= 65
    for batch in batches_of(every[::7]):
        assert len({of[shard] for shard in batch}) == 1


def test_a_cache_key_tells_shards_and_options_apart_and_nothing_else() -> None:
    one, two = shards_named("trainaa.tfrecord", "trainab.tfrecord")
    key = part_key((one, two), CONFIG)
    assert re.fullmatch(r"[a-z0-9-]+", key)
    assert key == part_key((two, one), CONFIG) == part_key((one, two), CONFIG.model_copy(update={"strict": True}))
    assert len({key, part_key((one,), CONFIG), part_key((one, two), FilterConfig(label_ids=(22,)))}) == 3
