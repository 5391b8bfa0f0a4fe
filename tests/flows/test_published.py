"""The event of a published version: once for each that is new, with a word on whether training follows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import get_client

from conf.forms import PrepareDatasetForm
from conf.home import Home
from flows.pipeline import dataset_for
from flows.prepare_dataset import prepare_dataset
from tasks.publish_dataset import TRAINING_FOLLOWS, TRAINING_LABEL, TRAINING_WANTED
from tests.support.flow_runs import run_flow
from tests.support.mirror_server import MirrorServer
from tests.support.published import published_events


@pytest.fixture
def form(synthetic_mirror: Path) -> Iterator[PrepareDatasetForm]:
    with MirrorServer(synthetic_mirror) as server:
        yield PrepareDatasetForm(labels=("Vehicle",), mirror=server.url, background=1)


def reference(version: dict[str, Any]) -> str:
    return f"{version['slug']}/{version['id']}"


def test_a_new_version_is_announced_once(form: PrepareDatasetForm, home: Home) -> None:
    first = run_flow(prepare_dataset, form).result
    followed = dataset_for(form.model_copy(update={"limit": 1}))
    again = run_flow(prepare_dataset, form)
    assert again.states_of("publish") == {"Completed": 1}  # not cached: `latest` meant the other version
    assert again.result == first
    last = run_flow(prepare_dataset, form.model_copy(update={"limit": 2})).result
    with get_client(sync_client=True) as client:
        assert published_events(client, reference(last))  # what came before it has arrived as well
        (event,) = published_events(client, reference(first))
        (other,) = published_events(client, reference(followed))
    assert event["payload"] == first
    assert event["resource"][TRAINING_LABEL] == TRAINING_WANTED
    assert other["resource"][TRAINING_LABEL] == TRAINING_FOLLOWS
