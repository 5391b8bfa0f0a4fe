"""Deploying, with Prefect's own command, to a real server: what is there afterwards, and what stays as it was."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import __version__ as prefect_version
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import emit_event
from prefect.settings import get_current_settings
from prefect.states import Completed, Failed

from conf.home import Home
from deployments.register import AUTOMATIONS_FILE, PREFECT_FILE, deploy_all, read_yaml
from deployments.stack.prefect_api import tell
from tasks.contracts.errors import DeployError
from tasks.publish_dataset import PUBLISHED_EVENT, TRAINING_FOLLOWS, TRAINING_LABEL, TRAINING_WANTED
from tasks.runs import PARTLY_FAILED
from tasks.tracking.promotion import Promotion

DEPLOYMENTS: list[dict[str, Any]] = read_yaml(PREFECT_FILE)["deployments"]
WITHIN_S = 30.0


def read(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    return client.read_deployment_by_name(f"{name}/{name}")


@pytest.mark.parametrize("wanted", DEPLOYMENTS, ids=lambda wanted: wanted["name"])
def test_a_deployment_names_a_module_and_copies_nothing(deployed: SyncPrefectClient, wanted: dict[str, Any]) -> None:
    found = read(deployed, wanted["name"])
    assert (found.entrypoint, found.pull_steps, found.path) == (wanted["entrypoint"], [], None)
    assert (found.work_pool_name, found.version) == (wanted["work_pool"]["name"], version("reelsift"))
    assert found.description == wanted["description"]
    assert set(found.tags) == set(wanted["tags"])
    assert found.enforce_parameter_schema
    assert found.parameter_openapi_schema is not None
    assert "form" in found.parameter_openapi_schema["properties"]


def test_the_file_is_for_the_prefect_that_is_installed() -> None:
    assert read_yaml(PREFECT_FILE)["prefect-version"] == prefect_version


def test_retraining_is_scheduled_but_not_switched_on_and_runs_one_at_a_time(deployed: SyncPrefectClient) -> None:
    found = read(deployed, "retrain")
    (nightly,) = found.schedules
    assert (nightly.slug, nightly.active) == ("nightly", False)
    assert nightly.schedule.model_dump() == {"cron": "0 3 * * *", "timezone": "UTC", "day_or": True}
    assert found.global_concurrency_limit is not None
    assert found.global_concurrency_limit.limit == 1
    assert found.concurrency_options is not None
    assert found.concurrency_options.collision_strategy == "CANCEL_NEW"


def test_zombies_are_given_three_signs_of_life(deployed: SyncPrefectClient) -> None:
    (zombies,) = deployed.read_automations_by_name("crash-zombie-flow-runs")
    frequency_s = type(get_current_settings().flows).model_fields["heartbeat_frequency"].default
    assert zombies.trigger.model_dump(mode="json")["within"] == 3 * frequency_s


def test_deploying_again_undoes_nothing_that_a_person_did(
    deployed: SyncPrefectClient, server_environment: Mapping[str, str]
) -> None:
    retrain = read(deployed, "retrain")
    deployed.update_deployment_schedule(retrain.id, retrain.schedules[0].id, active=True)
    mine = {"schedule": {"cron": "5 4 * * 1", "timezone": "Europe/Berlin"}, "slug": "mine", "active": True}
    deployed.request("POST", "/deployments/{id}/schedules", path_params={"id": retrain.id}, json=[mine])
    deployed.update_work_pool("cpu", WorkPoolUpdate(concurrency_limit=7))
    paused = [each["name"] for each in read_yaml(AUTOMATIONS_FILE)["automations"]] + ["train-on-published-dataset"]
    for name in paused:
        deployed.pause_automation(deployed.read_automations_by_name(name)[0].id)

    deploy_all(server_environment, pool_limits={"gpu": 5})
    try:
        again = read(deployed, "retrain")
        assert again.id == retrain.id
        assert {each.slug: each.active for each in again.schedules} == {"nightly": True, "mine": True}
        assert deployed.read_work_pool("cpu").concurrency_limit == 7
        assert deployed.read_work_pool("gpu").concurrency_limit == 2
        assert [[each.enabled for each in deployed.read_automations_by_name(name)] for name in paused] == [[False]] * 2
    finally:
        for name in paused:
            deployed.resume_automation(deployed.read_automations_by_name(name)[0].id)


def test_a_published_version_is_trained_on_unless_its_publisher_does(deployed: SyncPrefectClient) -> None:
    def publish(version_id: str, training: str) -> None:
        resource = {"prefect.resource.id": f"reelsift.dataset.cooking.{version_id}", TRAINING_LABEL: training}
        emit_event(PUBLISHED_EVENT, resource=resource, payload={"id": version_id, "slug": "cooking"})

    publish("ds-00000000000f", TRAINING_FOLLOWS)
    publish("ds-00000000000e", TRAINING_WANTED)
    assert trained_on(
        deployed, "cooking/ds-00000000000e"
    )  # the later event: whatever the first one starts is there by now
    assert not trained_on(deployed, "cooking/ds-00000000000f", within_s=0)


def trained_on(client: SyncPrefectClient, dataset: str, within_s: float = WITHIN_S) -> list[FlowRun]:
    """Return the runs of train-classifier that are for a dataset version, once there is one."""
    training = DeploymentFilter(id=DeploymentFilterId(any_=[read(client, "train-classifier").id]))
    deadline_s = time.monotonic() + within_s
    while True:
        runs = client.read_flow_runs(deployment_filter=training)
        found = [run for run in runs if run.parameters == {"form": {"dataset": dataset}}]
        if found or time.monotonic() >= deadline_s:
            return found
        time.sleep(0.2)


def test_a_server_that_does_not_answer_is_named(server_environment: Mapping[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    with pytest.raises(
        DeployError, match=rf"Deploying to {nowhere} failed. Prefect said: ConnectError: .* `reelsift status`"
    ):
        deploy_all({**server_environment, "PREFECT_API_URL": nowhere})


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The address of a webhook on this machine, and what it was told."""
    heard: list[dict[str, str]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", heard
        server.shutdown()


def test_the_template_tells_of_failures_and_new_champions(
    deployed: SyncPrefectClient,
    server_environment: Mapping[str, str],
    told: tuple[str, list[dict[str, str]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the file says: a block, its id in the place of BLOCK, and Prefect's own command."""
    template = (AUTOMATIONS_FILE.parent / "notifications.yaml").read_text(encoding="utf-8")
    url, heard = told
    text = {"subject": "{{subject}}", "body": "{{body}}"}
    block = CustomWebhookNotificationBlock(name="mine", url=url, json_data=text, headers=None, cookies=None).save(
        "mine"
    )
    file, command = tmp_path / "notifications.yaml", str(Path(sys.executable).with_name("prefect"))
    asked = [command, "automation", "create", "--from-file", str(file)]
    file.write_text(template)
    incomplete = subprocess.run(asked, env=dict(server_environment), capture_output=True, text=True, check=False)
    assert incomplete.returncode != 0
    assert not deployed.read_automations_by_name("tell-of-failures")
    file.write_text(template.replace("BLOCK", str(block)))
    subprocess.run(asked, env=dict(server_environment), capture_output=True, text=True, check=True)
    names = [each["name"] for each in yaml.safe_load(template)["automations"]]
    try:
        label, batch = read(deployed, "label-videos"), read(deployed, "detect-batch")
        for found, name in ((batch, "a batch"), (label, "label 2 videos: a.mp4, b.mp4")):
            run = deployed.create_flow_run_from_deployment(
                found.id, parameters={"form": {"sources": ["a.mp4"]} if found is label else {"batch": "b"}}, name=name
            )
            deployed.set_flow_run_state(run.id, Failed(message="0 of 2 done, 2 failed"), force=True)
        partly = deployed.create_flow_run_from_deployment(label.id, parameters={"form": {"sources": ["c.mp4"]}})
        deployed.set_flow_run_state(partly.id, Completed(name=PARTLY_FAILED, message="1 of 2 done"), force=True)
        promotion = Promotion(
            model="cooking/2", champion="cooking/1", promoted=True, reason="GAP is 0.02 higher.",
            dataset_id="ds-0123456789ab", split_digest="0",
        )  # fmt: skip
        monkeypatch.setenv("PREFECT_API_URL", server_environment["PREFECT_API_URL"])
        tell(Home(tmp_path), promotion.event())
        deadline_s = time.monotonic() + WITHIN_S
        while len(heard) < 3 and time.monotonic() < deadline_s:
            time.sleep(0.1)
    finally:
        for name in names:
            deployed.delete_automation(deployed.read_automations_by_name(name)[0].id)
    said = {each["subject"]: each["body"].splitlines() for each in heard}
    assert said.keys() == {"label-videos: Failed", "label-videos: Partly failed", "cooking/2 is the new champion"}
    assert said["label-videos: Failed"][:2] == ["label 2 videos: a.mp4, b.mp4", "0 of 2 done, 2 failed"]
    assert said["label-videos: Partly failed"][1] == "1 of 2 done"
    assert said["cooking/2 is the new champion"] == ["GAP is 0.02 higher.", "Champion before: cooking/1"]
