"""The dataset path as a flow: cached, resumable, repaired, and the same whatever the history."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.forms import PipelineForm, PrepareDatasetForm, RetrainForm
from conf.home import Home
from flows.pipeline import pipeline
from flows.prepare_dataset import prepare_dataset
from flows.retrain import retrain
from tasks.contracts.errors import ConfigError, DownloadError, PlanError, UnknownLabelError
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.manifest import verify
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
    manifest = open_dataset(home.datasets, "latest").manifest
    counted = f"{manifest.matches:,} of {6 * 120:,} match"
    assert (first.name, first.state.message) == ("prepare Cooking", f"{manifest.reference}: {counted}")
    said = first.headlines()
    assert said.keys() == {
        f"{verb} {which}" for verb in ("download", "filter") for which in ("train 0-3", "validate 0-1")
    } | {"publish cooking"}
    assert said["publish cooking"] == counted
    shares = [int(str(said[f"filter {which}"]).partition(" of ")[0]) for which in ("train 0-3", "validate 0-1")]
    assert sum(shares) == manifest.matches
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


def test_a_shard_that_cannot_be_fetched_fails_the_run_by_name_and_the_next_run_goes_on(
    mirror: MirrorServer, home: Home
) -> None:
    path = "/2/video/train/trainab.tfrecord"
    mirror.always(path, status(500))
    with pytest.raises(DownloadError, match=r"trainab\.tfrecord .*HTTP 500 .*attempt 2 of 2.* run the same again"):
        run_flow(prepare_dataset, form(mirror))
    mirror.heal()
    mirror.always(path, status(404))
    with pytest.raises(DownloadError, match=r"trainab\.tfrecord .*HTTP 404.* Without `--strict`"):
        run_flow(prepare_dataset, form(mirror, strict=True))
    assert not home.datasets.exists() or not list(home.datasets.rglob("manifest.json"))
    fetched = shard_requests(mirror)
    without = run_flow(prepare_dataset, form(mirror)).result  # one that no mirror has does not stop a build
    assert [(each["partition"], each["name"]) for each in without["absent"]] == [("video/train", "trainab.tfrecord")]
    assert "HTTP 404 (Not Found)" in without["absent"][0]["reason"]
    assert without["records"] == open_dataset(home.datasets, "latest").manifest.records == 5 * 120
    again = run_flow(prepare_dataset, form(mirror)).result
    assert again == without
    assert shard_requests(mirror) == fetched + 2  # the absent one is asked for each time, and nothing else is

    mirror.always(path, status(403))  # nor does one that each refuses
    refused = run_flow(prepare_dataset, form(mirror)).result
    assert refused["id"] == without["id"]
    assert "HTTP 403 (Forbidden)" in refused["absent"][0]["reason"]

    mirror.heal()
    whole = run_flow(prepare_dataset, form(mirror)).result
    assert (whole["absent"], whole["records"]) == ([], 6 * 120)
    assert whole["id"] != without["id"]  # an id says what there is


def test_where_no_shard_is_to_be_had_the_build_fails(mirror: MirrorServer, home: Home) -> None:
    mirror.always("/2/video/train/trainaa.tfrecord", status(410))
    with pytest.raises(DownloadError, match=r"No mirror has any of the 1 shards.*trainaa\.tfrecord.*HTTP 410"):
        run_flow(prepare_dataset, form(mirror, partitions=["video/train"], limit=1))


def test_a_mirror_that_refuses_most_of_the_shards_refuses_whoever_asks(mirror: MirrorServer, home: Home) -> None:
    for name in ("train/trainaa", "train/trainab", "train/trainac", "validate/validateae"):
        mirror.always(f"/2/video/{name}.tfrecord", status(403))
    with pytest.raises(DownloadError, match=r"^4 of 6 shards are given by no mirror, .* HTTP 403 \(Forbidden\)"):
        run_flow(prepare_dataset, form(mirror))
    assert not list(home.datasets.rglob("manifest.json"))


def test_a_form_fetches_few_shards_of_a_public_mirror_unless_it_says_so(
    mirror: MirrorServer, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public hosts are not reachable from here, so a mirror on loopback passes for them."""
    monkeypatch.setattr("flows.dataset_requests.is_public", lambda config: mirror.url in config.mirrors)
    monkeypatch.setattr("flows.dataset_requests.LARGE_DOWNLOAD_SHARDS", 5)
    for flow, kind in ((prepare_dataset, PrepareDatasetForm), (retrain, RetrainForm), (pipeline, PipelineForm)):
        asked = kind.model_validate({"labels": ["Cooking"], "mirror": mirror.url, "background": 2})
        with pytest.raises(ConfigError, match=r"^6 shards, about 3\.\d MB, would be fetched from http.*large_download"):
            run_flow(flow, asked)
    assert shard_requests(mirror) == 0
    run_flow(prepare_dataset, form(mirror, limit=3))  # 3 and 2: no more than the bound
    assert run_flow(prepare_dataset, form(mirror)).result["records"] == 720  # one more: what is here does not count
    assert shard_requests(mirror) == 6
    assert run_flow(prepare_dataset, form(mirror, background=3, large_download=True)).result["records"] == 720


def test_a_folder_or_a_mirror_of_ones_own_is_not_bounded(
    mirror: MirrorServer, home: Home, synthetic_mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.dataset_requests.LARGE_DOWNLOAD_SHARDS", 1)
    for place in (mirror.url, str(synthetic_mirror)):
        asked = PrepareDatasetForm(labels=("Cooking",), mirror=place, background=2)
        assert run_flow(prepare_dataset, asked).result["records"] == 720


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"labels": ["Cookng"]}, UnknownLabelError, r"Did you mean 'Cooking' \(22\)", id="label"),
        pytest.param({"partitions": ["video/none"]}, PlanError, "video/none", id="partition"),
        pytest.param({"partitions": ["frame/train"]}, ConfigError, "`--level frame` reads it", id="level"),
        pytest.param({"shards": "9,9", "limit": 1}, PlanError, "No shards", id="nothing-left"),
    ],
)
def test_a_wrong_request_is_refused_in_words(
    mirror: MirrorServer, home: Home, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_flow(prepare_dataset, form(mirror, **options))
