"""Prefect's own results in an object store: a cached task is found by them, and one whose result is gone runs again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.filesystems import RemoteFileSystem
from prefect.settings import PREFECT_DEFAULT_RESULT_STORAGE_BLOCK, temporary_settings
from pyarrow import fs

from conf.forms import PrepareDatasetForm
from conf.home import Home
from flows.prepare_dataset import prepare_dataset
from tests.support.flow_runs import run_flow
from tests.support.s3_server import S3Server

BLOCK = "reelsift-results"


@pytest.fixture
def results(s3_server: S3Server, prefect_server: None) -> Iterator[str]:
    """A place in a bucket that holds the results; credentials are those of the environment."""
    place = s3_server.new_bucket().partition("?")[0].removeprefix("s3://") + "/results"
    settings = {"client_kwargs": {"endpoint_url": s3_server.url}}
    block = RemoteFileSystem(basepath=f"s3://{place}", settings=settings)
    block.save(BLOCK, overwrite=True)
    with temporary_settings({PREFECT_DEFAULT_RESULT_STORAGE_BLOCK: f"remote-file-system/{BLOCK}"}):
        yield place


def test_tasks_are_cached_by_results_in_the_bucket(
    synthetic_mirror: Path, home: Home, results: str, s3_server: S3Server
) -> None:
    form = PrepareDatasetForm(labels=("Cooking",), mirror=str(synthetic_mirror), limit=1)
    first = run_flow(prepare_dataset, form)
    assert set(first.states()) == {"Completed"}
    bucket = s3_server.filesystem()
    kept = bucket.get_file_info(fs.FileSelector(results, recursive=True))
    assert {"yt8m-shard", "yt8m-filter", "yt8m-dataset"} <= {info.base_name[:12].rstrip("-1") for info in kept}
    assert set(run_flow(prepare_dataset, form).states()) == {"Cached"}
    bucket.delete_dir_contents(results)
    again = run_flow(prepare_dataset, form)
    assert set(again.states()) == {"Completed"}
    assert again.result == first.result
