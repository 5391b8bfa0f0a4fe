"""The dataset path with an object store: what one machine has made, another finds. A real S3 server, real flows."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.forms import PrepareDatasetForm, TrainClassifierForm
from conf.home import Home
from conf.settings import load_settings
from flows.dataset_requests import request_of, store_of
from flows.prepare_dataset import prepare_dataset
from flows.train_classifier import train_classifier
from tasks.classifier.splits import frozen_split
from tasks.contracts.errors import DamagedStorageError, StorageError, TrackingError, UnknownDatasetError
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.manifest import verify
from tasks.datasets.stored import open_anywhere
from tasks.filter_records import filter_records
from tasks.publish_dataset import publish_dataset
from tasks.storage.object_store import ObjectStore, open_store
from tasks.tracking.comparison import compare
from tasks.tracking.loading import load_classifier
from tasks.tracking.registry import resolve
from tests.support.flow_runs import run_flow
from tests.support.folders import digests
from tests.support.mirror_server import MirrorServer
from tests.support.s3_server import S3Server


@pytest.fixture
def mirror(synthetic_mirror: Path) -> Iterator[MirrorServer]:
    with MirrorServer(synthetic_mirror) as server:
        yield server


@pytest.fixture
def storage(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that the settings name."""
    uri = s3_server.new_bucket()
    monkeypatch.setenv("REELSIFT_STORAGE", uri)
    return uri


def form(mirror: MirrorServer, **options: object) -> PrepareDatasetForm:
    return PrepareDatasetForm.model_validate({"labels": ["Cooking"], "mirror": mirror.url, "background": 2, **options})


def shard_requests(mirror: MirrorServer) -> int:
    return sum(request.path.endswith(".tfrecord") for request in mirror.log if request.method == "GET")


def version_digests(home: Home, version: dict[str, str]) -> dict[str, str]:
    return digests(home.datasets / version["slug"] / version["id"])


@pytest.fixture
def another(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The home of another machine, empty; what it shares with the first is the storage and Prefect's server."""
    return Home(home.root.with_name("another"))


def move_to(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSIFT_HOME", str(home.root))


def test_another_machine_finds_all_and_fetches_no_shard(
    mirror: MirrorServer, home: Home, another: Home, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REELSIFT_STORAGE")
    alone = run_flow(prepare_dataset, form(mirror))
    expected = version_digests(home, alone.result)
    shutil.rmtree(home.root)

    monkeypatch.setenv("REELSIFT_STORAGE", storage)
    first = run_flow(prepare_dataset, form(mirror))
    assert first.result == alone.result
    assert version_digests(home, first.result) == expected
    fetched = shard_requests(mirror)

    move_to(another, monkeypatch)
    second = run_flow(prepare_dataset, form(mirror))
    assert second.result == first.result
    assert version_digests(another, second.result) == expected
    assert verify(open_dataset(another.datasets, "latest")) == []
    assert shard_requests(mirror) == fetched
    assert not list(another.shards.rglob("*.tfrecord"))
    again = run_flow(prepare_dataset, form(mirror))
    assert set(again.states()) == {"Cached"}


def test_what_was_made_before_there_was_a_store_is_put_there(
    mirror: MirrorServer, home: Home, another: Home, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REELSIFT_STORAGE")
    version = run_flow(prepare_dataset, form(mirror)).result
    monkeypatch.setenv("REELSIFT_STORAGE", storage)
    run_flow(prepare_dataset, form(mirror))
    dataset = open_anywhere(another.datasets, "latest", storage)
    assert digests(dataset.folder) == version_digests(home, version)


def test_more_shards_reuse_the_parts_in_the_store(
    mirror: MirrorServer, home: Home, another: Home, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = run_flow(prepare_dataset, form(mirror, limit=2)).result
    fetched = shard_requests(mirror)
    move_to(another, monkeypatch)
    more = run_flow(prepare_dataset, form(mirror)).result
    assert more["id"] != few["id"]
    assert shard_requests(mirror) - fetched == 6 - fetched  # those that no part holds yet, and only those


def test_a_version_is_opened_wherever_it_is(
    mirror: MirrorServer, home: Home, another: Home, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, more = (run_flow(prepare_dataset, form(mirror, limit=limit)).result for limit in (1, 2))
    for ref in ("latest", "cooking", "cooking/latest", more["id"], more["id"][:8], f"cooking/{more['id']}"):
        shutil.rmtree(another.root, ignore_errors=True)
        dataset = open_anywhere(another.datasets, ref, storage)
        assert dataset.manifest.id == more["id"]
        assert verify(dataset) == []
    assert open_anywhere(another.datasets, few["id"], storage).manifest.id == few["id"]
    assert open_anywhere(another.datasets, "latest", storage).manifest.id == more["id"]
    assert open_dataset(another.datasets, "latest").manifest.id == more["id"]
    for ref in ("game", "ds-ffffffffffff", "../cooking", ""):
        with pytest.raises(UnknownDatasetError):
            open_anywhere(another.datasets, ref, storage)
    run_flow(prepare_dataset, form(mirror, limit=1))  # `latest` goes back, for all
    assert open_anywhere(another.datasets, "latest", storage).manifest.id == few["id"]


def test_a_damaged_version_in_the_store_is_refused_and_mended_by_the_next_run(
    mirror: MirrorServer, home: Home, another: Home, storage: str
) -> None:
    version = run_flow(prepare_dataset, form(mirror)).result
    store, key = open_store(storage), f"datasets/cooking/{version['id']}"
    name, size = next((name, size) for name, size in store.sizes(key).items() if name.endswith(".parquet"))
    store.write(f"{key}/{name}", os.urandom(size))
    with pytest.raises(DamagedStorageError, match=r"part-.* the command that made it puts it back"):
        open_anywhere(another.datasets, version["id"], storage)
    assert not list(another.datasets.rglob("*.parquet"))
    run_flow(prepare_dataset, form(mirror))
    assert digests(open_anywhere(another.datasets, "latest", storage).folder) == version_digests(home, version)


def test_a_damaged_part_in_the_store_is_made_again(
    mirror: MirrorServer, home: Home, another: Home, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = run_flow(prepare_dataset, form(mirror)).result
    store = open_store(storage)
    for name, size in store.sizes("parts").items():
        if name.endswith(".parquet"):
            store.write(f"parts/{name}", os.urandom(size))
    move_to(another, monkeypatch)
    monkeypatch.setenv("PREFECT_LOCAL_STORAGE_PATH", str(another.results))
    again = run_flow(prepare_dataset, form(mirror)).result
    assert version_digests(another, again) == version_digests(home, version)


def test_training_elsewhere_takes_the_version_from_the_store_and_leaves_the_model_there(
    mirror: MirrorServer,
    home: Home,
    another: Home,
    storage: str,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = s3_server.new_bucket().partition("?")[0]
    monkeypatch.setenv("REELSIFT_TRACKING__ARTIFACTS", f"{bucket}/mlflow")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server.url)
    version = run_flow(prepare_dataset, form(mirror)).result
    move_to(another, monkeypatch)
    trained = run_flow(train_classifier, TrainClassifierForm(dataset="cooking", models=("logistic",))).result
    assert trained["dataset"] == version["id"]
    kept = ObjectStore(f"{bucket}/mlflow?endpoint_override={s3_server.url}").sizes("")
    assert any(name.endswith("model.safetensors") for name in kept)
    assert not (another.models / "artifacts").exists()

    settings = load_settings()
    dataset = open_dataset(another.datasets, "latest")
    judged = compare(
        store_of(settings),
        frozen_split(dataset),
        dataset_id=dataset.manifest.id,
        name="cooking",
        references=("cooking/1",),
        gate=settings.gate,
    )
    assert [row.model for row in judged.rows] == ["cooking/1"]
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")  # the discard port: nothing listens
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9.*REELSIFT_TRACKING__ARTIFACTS"):
        load_classifier(store_of(settings), resolve(store_of(settings), "cooking/1"))


def test_parts_made_by_machines_that_share_no_disk_reach_the_publisher(
    mirror: MirrorServer, home: Home, another: Home, storage: str
) -> None:
    """What a cluster's workers do, without the cluster: they fetch by themselves, and hand parts on by storage."""
    settings = load_settings()
    request = request_of(form(mirror), settings)
    parts = [
        filter_records.fn(
            batch,
            None,
            folder=another.shards,
            store=another.parts,
            config=request.filter,
            download=settings.download_from(mirror.url),
            storage=storage,
        )
        for batch in request.batches
    ]
    assert not home.parts.exists()
    made = publish_dataset.fn(request, parts, root=home.datasets, store=home.parts, storage=storage)
    assert verify(open_dataset(home.datasets, made["id"])) == []


def test_a_store_that_is_not_there_stops_the_run_before_any_shard(
    mirror: MirrorServer, home: Home, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELSIFT_STORAGE", s3_server.uri("never-made"))
    with pytest.raises(StorageError, match="no such bucket"):
        run_flow(prepare_dataset, form(mirror))
    assert shard_requests(mirror) == 0
