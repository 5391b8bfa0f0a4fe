"""The dataset path as a flow: cached, resumable, repaired, and the same whatever the history."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.forms import PrepareDatasetForm
from conf.home import Home
from flows.prepare_dataset import prepare_dataset
from tasks.contracts.errors import DownloadError, PlanError, UnknownLabelError
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.verify import verify
from tests.support.flow_runs import run_flow
from tests.support.mirror_server import MirrorServer, status


@pytest.fixture
def mirror(synthetic_mirror: Path) -> Iterator[MirrorServer]:
    with MirrorServer(synthetic_mirror) as server:
        yield server


def form(mirror: MirrorServer, **options: object) -> PrepareDatasetForm:
    return PrepareDatasetForm.model_validate({"labels": ["Cooking"], "mirror": mirror.url, "background": 2, **options})


def digests(folder: Path) -> dict[str, str]:
    """Hash every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shard_requests(mirror: MirrorServer) -> int:
    return sum(request.path.endswith(".tfrecord") for request in mirror.log if request.method == "GET")


def test_a_second_run_finds_every_task_cached_and_fetches_no_shard(mirror: MirrorServer, home: Home) -> None:
    first = run_flow(prepare_dataset, form(mirror))
    assert set(first.states()) == {"Completed"}
    before = digests(home.datasets)
    fetched = shard_requests(mirror)
    assert fetched == 6
    second = run_flow(prepare_dataset, form(mirror))
    assert set(second.states()) == {"Cached"}
    assert second.result == first.result
    assert shard_requests(mirror) == fetched
    assert digests(home.datasets) == before


def test_the_version_holds_what_was_asked_for(mirror: MirrorServer, home: Home) -> None:
    version = run_flow(prepare_dataset, form(mirror)).result
    dataset = open_dataset(home.datasets, "latest")
    manifest = dataset.manifest
    assert version["id"] == manifest.id
    assert manifest.slug == "cooking"
    assert manifest.splits == {"train": "video/train", "validate": "video/validate"}
    assert manifest.records == 6 * 120
    assert manifest.records == manifest.rows + sum(manifest.drops.values())
    assert 0 < manifest.matches < manifest.rows <= 3 * manifest.matches
    assert verify(dataset) == []


def test_more_shards_make_a_new_version_that_reuses_what_was_filtered(mirror: MirrorServer, home: Home) -> None:
    few = run_flow(prepare_dataset, form(mirror, limit=1)).result
    fetched = shard_requests(mirror)
    more = run_flow(prepare_dataset, form(mirror)).result
    assert more["id"] != few["id"]
    assert {str(request.path) for request in mirror.log[-1:]}
    assert shard_requests(mirror) - fetched < 2 * 6  # the two that were there are not fetched again
    assert sum(request.path.endswith("trainaa.tfrecord") for request in mirror.log if request.method == "GET") == 1
    assert (
        open_dataset(home.datasets, few["id"]).manifest.matches
        < open_dataset(home.datasets, more["id"]).manifest.matches
    )


def test_the_bytes_are_the_same_whatever_was_built_before(mirror: MirrorServer, home: Home) -> None:
    run_flow(prepare_dataset, form(mirror, limit=1))
    grown = run_flow(prepare_dataset, form(mirror)).result
    by_growth = digests(home.datasets / grown["slug"] / grown["id"])
    shutil.rmtree(home.root)
    fresh = run_flow(prepare_dataset, form(mirror)).result
    assert fresh["id"] == grown["id"]
    assert digests(home.datasets / fresh["slug"] / fresh["id"]) == by_growth


def test_a_damaged_part_is_made_again_although_its_task_is_cached(mirror: MirrorServer, home: Home) -> None:
    version = run_flow(prepare_dataset, form(mirror)).result
    folder = home.datasets / version["slug"] / version["id"]
    before = digests(folder)
    part = next(home.parts.rglob("*.parquet"))
    part.chmod(0o644)
    part.write_bytes(part.read_bytes()[:-7])
    again = run_flow(prepare_dataset, form(mirror))
    assert again.result == version
    assert digests(folder) == before


def test_discarded_shards_are_not_missed_by_a_second_run(mirror: MirrorServer, home: Home) -> None:
    run_flow(prepare_dataset, form(mirror, discard_shards=True))
    assert not list(home.shards.rglob("*.tfrecord"))
    fetched = shard_requests(mirror)
    second = run_flow(prepare_dataset, form(mirror, discard_shards=True))
    assert set(second.states()) == {"Cached"}
    assert shard_requests(mirror) == fetched
    other = run_flow(prepare_dataset, form(mirror, labels=["Game"], discard_shards=True))
    assert set(other.states()) == {"Completed"}  # the shards are needed again, and so fetched again
    assert not list(home.shards.rglob("*.tfrecord"))


def test_a_shard_that_cannot_be_had_fails_the_run_by_name_and_the_next_run_goes_on(
    mirror: MirrorServer, home: Home
) -> None:
    path = "/2/video/train/trainab.tfrecord"
    mirror.always(path, status(404))
    with pytest.raises(DownloadError, match=r"trainab\.tfrecord"):
        run_flow(prepare_dataset, form(mirror))
    assert not home.datasets.exists() or not list(home.datasets.rglob("manifest.json"))
    mirror.heal()
    run_flow(prepare_dataset, form(mirror))
    assert shard_requests(mirror) == 6 + 1  # all once, and the one that failed a second time
    assert open_dataset(home.datasets, "latest").manifest.records == 6 * 120


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"labels": ["Cookng"]}, UnknownLabelError, r"Did you mean 'Cooking' \(22\)", id="label"),
        pytest.param({"partitions": ["frame/none"]}, PlanError, "frame", id="partition"),
        pytest.param({"shards": "9,9", "limit": 1}, PlanError, "No shards", id="nothing-left"),
    ],
)
def test_a_wrong_request_is_refused_in_words(
    mirror: MirrorServer, home: Home, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_flow(prepare_dataset, form(mirror, **options))
