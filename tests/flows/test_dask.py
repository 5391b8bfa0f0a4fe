"""The dataset path on a real Dask cluster of two processes: the same id and the same bytes as in threads here."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conf.forms import PrepareDatasetForm
from conf.home import Home
from conf.settings import load_settings
from flows.dataset_requests import request_of
from flows.prepare_dataset import prepare_dataset
from tasks import dask_runner as dask_cluster
from tasks.contracts.errors import ConfigError
from tasks.dask_runner import connected, tasks_on
from tasks.filter_records import filter_records
from tasks.publish_dataset import publish_dataset
from tests.support.flow_runs import run_flow
from tests.support.folders import digests
from tests.support.mirror_server import MirrorServer
from tests.support.s3_server import S3Server


@pytest.fixture
def mirror(synthetic_mirror: Path) -> Iterator[MirrorServer]:
    with MirrorServer(synthetic_mirror) as server:
        yield server


@pytest.fixture
def expected(mirror: MirrorServer, home: Home) -> dict[str, str]:
    """What a version's folder holds that was made here, without Dask."""
    settings, here = load_settings(), Home(home.root.with_name("here"))
    request = request_of(form(mirror), settings)
    kept = {"folder": here.shards, "store": here.parts, "config": request.filter}
    download = settings.download_from(mirror.url)
    parts = [filter_records.fn(batch, None, **kept, download=download) for batch in request.batches]
    publish_dataset.fn(request, parts, root=here.datasets, store=here.parts)
    return digests(here.datasets)


def started(count: int, **options: Any) -> Any:
    """Start a cluster on loopback; its type has an asynchronous form too, which is not meant here."""
    from distributed import LocalCluster

    options = {"host": "127.0.0.1", "threads_per_worker": 1, "dashboard_address": dask_cluster.ANY_PORT, **options}
    return LocalCluster(count, **options)


@pytest.fixture
def address() -> Iterator[str]:
    """The scheduler of a cluster that somebody else has started, of two processes."""
    with started(2, processes=True) as cluster:
        yield cluster.scheduler_address


def form(mirror: MirrorServer, **options: object) -> PrepareDatasetForm:
    return PrepareDatasetForm.model_validate({"labels": ["Cooking"], "mirror": mirror.url, "background": 2, **options})


def test_a_cluster_made_for_the_run_gives_the_same_bytes(
    mirror: MirrorServer, home: Home, expected: dict[str, str]
) -> None:
    run = run_flow(prepare_dataset, form(mirror, runner="dask"))
    assert digests(home.datasets) == expected
    assert (run.states_of("filter"), run.states_of("download")) == ({"Completed": 2}, {"Completed": 2})


def test_a_cluster_that_is_there_works_with_a_store(
    mirror: MirrorServer,
    home: Home,
    expected: dict[str, str],
    address: str,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REELSIFT_STORAGE", s3_server.new_bucket())
    run_flow(prepare_dataset, form(mirror, runner="dask", dask_address=address))
    assert digests(home.datasets) == expected
    assert both_worked(address)


def both_worked(address: str) -> bool:
    from distributed import Client

    def has_worked() -> bool:
        return "tasks.filter_records" in sys.modules

    with Client(address, set_as_default=False) as client:
        answers: Any = client.run(has_worked)
    return len(answers) == 2 and all(answers.values())


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_cluster, "ANSWER_S", 0.5)
    with pytest.raises(ConfigError, match=r"No Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        enter(connected("tcp://127.0.0.1:9", 2))


def test_a_scheduler_without_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import Scheduler, SpecCluster

    monkeypatch.setattr(dask_cluster, "WORKERS_S", 0.5)
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": dask_cluster.ANY_PORT}}
    bare: Any = SpecCluster(workers={}, scheduler=scheduler)
    with bare as empty:
        address = empty.scheduler_address
        with pytest.raises(ConfigError, match=rf"has no worker: start some with `dask worker {address}`"):
            enter(connected(address, 2))


def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask.task_runners", None)
    with pytest.raises(ConfigError, match=r"needs prefect-dask.*pip install -e '\.\[dask\]'"):
        enter(connected(None, 2))


def test_an_address_without_the_runner_is_told() -> None:
    with pytest.raises(ConfigError, match="add `--runner dask`"):
        enter(tasks_on("local", "tcp://10.0.0.7:8786", 2))


def enter(context: Any) -> None:
    with context:
        pass
