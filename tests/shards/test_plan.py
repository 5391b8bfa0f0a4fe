"""Download plans, as they come and as they are refused."""

import hashlib
import itertools
import json
import os
from pathlib import Path

import pytest

from tasks.contracts.datasets import PlannedShard
from tasks.contracts.errors import ConfigError, PlanError
from tasks.shards.config import DownloadConfig
from tasks.shards.plan import fetch_plan, saved_name, select_shards, shard_index, shard_path
from tasks.shards.sources import Fault, open_path
from tasks.vocabulary.table import beside_shards
from tests.shards.conftest import NAMES, noise, quick, shards_of
from tests.support.mirror_server import MirrorServer, html, status

MD5 = "d18ca17e47a5436ebef4b09f9374955a"
PLAN = "2/download_plans/video_train.json"


def serve_plan(folder: Path, text: str) -> None:
    (folder / PLAN).write_text(text, encoding="utf-8")


def test_a_plan_is_fetched_and_sorted(server: MirrorServer, folder: Path) -> None:
    plan = fetch_plan("video/train", quick(server.url))
    assert plan == shards_of(folder)
    assert [shard.name for shard in plan] == sorted(f"{name}.tfrecord" for name in NAMES)


def test_a_plan_comes_from_a_folder_without_a_server(folder: Path) -> None:
    assert fetch_plan("video/train", quick(str(folder))) == shards_of(folder)


def test_a_plan_is_retried_and_failed_over(server: MirrorServer, other_server: MirrorServer, folder: Path) -> None:
    server.script(PLAN, status(500), html())
    server.always(PLAN, status(403))
    plan = fetch_plan("video/train", quick(server.url, other_server.url))
    assert plan == shards_of(folder)
    assert server.gets()[PLAN] == 3
    assert other_server.gets()[PLAN] == 1


def test_a_mirror_without_the_plan_is_named(server: MirrorServer) -> None:
    with pytest.raises(PlanError, match=rf"No download plan of 'video/test': .*{server.url}/2/.*HTTP 404 \(Not"):
        fetch_plan("video/test", quick(server.url))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param("{", "not JSON", id="cut"),
        pytest.param("[" * 100_000, "not JSON", id="nested without end"),
        pytest.param("[]", "no object 'files'", id="a list"),
        pytest.param('{"files": []}', "no object 'files'", id="files a list"),
        pytest.param('{"files": {}}', "names no shard", id="no files"),
        pytest.param(f'{{"files": {{"../../evil.tfrecord": "{MD5}"}}}}', "which is no shard of it", id="upwards"),
        pytest.param(f'{{"files": {{"/etc/trainaa.tfrecord": "{MD5}"}}}}', "which is no shard", id="absolute"),
        pytest.param(f'{{"files": {{"trainaa.tfrecord/../x": "{MD5}"}}}}', "which is no shard", id="through itself"),
        pytest.param(f'{{"files": {{"trainaa.tfrecord\\n": "{MD5}"}}}}', "which is no shard", id="line end"),
        pytest.param(f'{{"files": {{"train\\u0000a.tfrecord": "{MD5}"}}}}', "which is no shard", id="zero byte"),
        pytest.param(f'{{"files": {{"train{"a" * 65}.tfrecord": "{MD5}"}}}}', "which is no shard", id="long"),
        pytest.param(f'{{"files": {{"testaa.tfrecord": "{MD5}"}}}}', "which is no shard", id="another partition's"),
        pytest.param('{"files": {"trainaa.tfrecord": "12"}}', "gives '12' as the md5", id="short md5"),
        pytest.param(f'{{"files": {{"trainaa.tfrecord": "{MD5.upper()}"}}}}', "as the md5", id="upper case"),
        pytest.param('{"files": {"trainaa.tfrecord": 7}}', "gives '7' as the md5", id="md5 a number"),
        pytest.param(
            f'{{"files": {{"trainaa.tfrecord": "{MD5}", "trainaa.tfrecord": "{MD5}"}}}}', "twice", id="a name twice"
        ),
        pytest.param(
            f'{{"files": {{"trainaj.tfrecord": "{MD5}", "train0009.tfrecord": "{MD5}"}}}}',
            "both train0009.tfrecord and trainaj.tfrecord",
            id="one place for two",
        ),
    ],
)
def test_what_is_not_a_plan_is_refused(folder: Path, text: str, problem: str) -> None:
    serve_plan(folder, text)
    with pytest.raises(PlanError, match=f"plan of 'video/train'.*{problem}"):
        fetch_plan("video/train", quick(str(folder)))


def test_a_plan_that_is_not_text_is_refused(folder: Path) -> None:
    (folder / PLAN).write_bytes(b"\xff\xfe{}")
    with pytest.raises(PlanError, match="it is not UTF-8"):
        fetch_plan("video/train", quick(str(folder)))


def test_a_plan_without_end_is_refused(server: MirrorServer, folder: Path) -> None:
    serve_plan(folder, " " * (5 << 20))
    with pytest.raises(PlanError, match=r"sends 5242880 bytes or more, over .* 4194304"):
        fetch_plan("video/train", quick(server.url))


@pytest.mark.parametrize("partition", ["video", "video/all", "../video/train", "2/video/train", "video/train/", ""])
def test_a_partition_that_does_not_exist_is_refused(partition: str) -> None:
    with pytest.raises(PlanError, match=r"No partition .* There are video/train, video/validate, video/test"):
        fetch_plan(partition, quick())


def test_the_plan_of_a_bag_is_made_by_hashing_it(tmp_path: Path) -> None:
    contents = {"validatea0.tfrecord": noise(10), "validatea1.tfrecord": b"", "testa0.tfrecord": noise(20)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    plan = fetch_plan("video/validate", quick(str(tmp_path)))
    assert [(shard.name, shard.partition, shard.md5) for shard in plan] == [
        (name, "video/validate", hashlib.md5(contents[name]).hexdigest())
        for name in ("validatea0.tfrecord", "validatea1.tfrecord")
    ]
    assert [shard.name for shard in fetch_plan("video/test", quick(str(tmp_path)))] == ["testa0.tfrecord"]
    with pytest.raises(PlanError, match=r"'video/train' .* names no shard"):
        fetch_plan("video/train", quick(str(tmp_path)))
    assert {shard.partition for shard in fetch_plan("frame/validate", quick(str(tmp_path)))} == {"frame/validate"}
    with pytest.raises(PlanError, match=r"No download plan of 'video_level/validate'.*no mirror has a place for it"):
        fetch_plan("video_level/validate", quick(str(tmp_path)))


def test_pipes_and_devices_in_a_bag_are_passed_over(tmp_path: Path) -> None:
    """Whoever opened one would wait for ever, or read for ever."""
    (tmp_path / "trainaa.tfrecord").touch()
    os.mkfifo(tmp_path / "trainab.tfrecord")
    (tmp_path / "trainac.tfrecord").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "labels.csv")
    assert [shard.name for shard in fetch_plan("video/train", quick(str(tmp_path)))] == ["trainaa.tfrecord"]
    assert beside_shards(tmp_path, 2) is None


def test_a_pipe_in_the_place_of_a_shard_is_a_fault(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trainaa.tfrecord")
    with pytest.raises(Fault, match="a pipe or a device"), open_path(tmp_path / "trainaa.tfrecord", 0):
        pass


def test_a_bag_with_a_name_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "videos.tfrecord").touch()
    with pytest.raises(PlanError, match=r"videos\.tfrecord tells no partition by its name.*Rename"):
        fetch_plan("video/train", quick(str(tmp_path)))


def test_a_bag_with_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trainaa.tfrecord").mkdir()
    with pytest.raises(PlanError, match=r"Cannot read .*trainaa\.tfrecord: Is a directory"):
        fetch_plan("video/train", quick(str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "index", "saved"),
    [
        pytest.param("trainaa.tfrecord", 0, "train0000.tfrecord", id="first"),
        pytest.param("trainab.tfrecord", 1, "train0001.tfrecord", id="second"),
        pytest.param("trainaA.tfrecord", 26, "train0026.tfrecord", id="capitals after small ones"),
        pytest.param("traina0.tfrecord", 52, "train0052.tfrecord", id="digits after capitals"),
        pytest.param("trainba.tfrecord", 62, "train0062.tfrecord", id="second place"),
        pytest.param("trainpj.tfrecord", 939, "train0939.tfrecord", id="pj"),
        pytest.param("train9H.tfrecord", 3815, "train3815.tfrecord", id="the notebook's"),
        pytest.param("validate99.tfrecord", 3843, "validate3843.tfrecord", id="last"),
        pytest.param("train3815.tfrecord", None, "train3815.tfrecord", id="saved already"),
        pytest.param("train-1.tfrecord", None, "train-1.tfrecord", id="not base 62"),
        pytest.param("traina.tfrecord", None, "traina.tfrecord", id="one letter"),
    ],
)
def test_saved_names_are_those_of_the_official_script(name: str, index: int | None, saved: str) -> None:
    assert shard_index(name) == index
    assert saved_name(name) == saved


def test_all_pairs_count_up_without_a_gap() -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    names = [f"train{high}{low}.tfrecord" for high, low in itertools.product(alphabet, repeat=2)]
    assert [shard_index(name) for name in names] == list(range(62 * 62))


def test_a_shard_lies_under_release_partition_and_saved_name() -> None:
    shard = PlannedShard(name="train9H.tfrecord", partition="video/train", md5=MD5)
    path = shard_path(Path("/data"), shard, DownloadConfig(release=3))
    assert path == Path("/data/3/video/train/train3815.tfrecord")


def plan_of(count: int) -> tuple[PlannedShard, ...]:
    names = (f"train{index:04}.tfrecord" for index in range(count))
    return tuple(PlannedShard(name=name, partition="video/train", md5=MD5) for name in names)


def test_parts_are_those_of_the_official_rule() -> None:
    plan = plan_of(200)
    for y in (1, 2, 7):
        parts = [select_shards(plan, part=(x, y)) for x in range(1, y + 1)]
        for x, part in enumerate(parts, start=1):
            # Stated independently: the digest as a big-endian number, and its remainder counted from 1.
            expected = [s for s in plan if int.from_bytes(hashlib.md5(s.name.encode()).digest(), "big") % y + 1 == x]
            assert list(part) == expected
        assert sorted(shard.name for part in parts for shard in part) == [shard.name for shard in plan]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        # `printf trainpj.tfrecord | md5sum` ends in b9 = 185, so modulo 2 it leaves 1: part 2 of 2.
        pytest.param("trainpj.tfrecord", {2: 2, 7: 7, 100: 10, 1000: 10}, id="pj"),
        pytest.param("train9H.tfrecord", {2: 1, 7: 7, 100: 91, 1000: 791}, id="9H"),
        pytest.param("validatea0.tfrecord", {2: 1, 7: 7, 100: 1, 1000: 501}, id="a0"),
    ],
)
def test_parts_that_were_worked_out_outside_of_this_program(name: str, parts: dict[int, int]) -> None:
    shard = PlannedShard(name=name, partition="video/train", md5=MD5)
    for y, x in parts.items():
        assert [part for part in range(1, y + 1) if select_shards([shard], part=(part, y))] == [x]


def test_a_limit_takes_the_first_of_a_part() -> None:
    plan = plan_of(50)
    part = select_shards(plan, part=(2, 3))
    assert select_shards(plan, part=(2, 3), limit=4) == part[:4]
    assert select_shards(plan, limit=4) == plan[:4]
    assert select_shards(plan, limit=1000) == plan
    assert select_shards(plan) == plan


@pytest.mark.parametrize("part", [(0, 1), (2, 1), (1, 0), (-1, -1)], ids=str)
def test_a_part_that_cannot_be_is_refused(part: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=f"No part {part[0]},{part[1]} .*1 <= X <= Y"):
        select_shards(plan_of(3), part=part)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="A limit of 0 shards"):
        select_shards(plan_of(3), limit=0)


def test_the_real_plans(real_mirror: Path) -> None:
    config = quick(str(real_mirror))
    counts = {}
    for split in ("train", "validate"):
        plan = fetch_plan(f"video/{split}", config)
        official = json.loads((real_mirror / f"2/download_plans/video_{split}.json").read_text())["files"]
        assert {shard.name: shard.md5 for shard in plan} == official
        counts[split] = len(plan)
    assert counts == {"train": 70, "validate": 30}
