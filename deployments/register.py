"""Deploys pools, deployments and automations: `python -m deployments.register [POOL=LIMIT]...`."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml
from prefect.automations import AutomationCore
from prefect.cli import app as prefect_command
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectException
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from conf import pages
from conf.environment import running_settings
from conf.settings import Settings
from flows.dataset_requests import store_of
from tasks.classifier.config import PRESETS
from tasks.contracts.errors import ConfigError, DeployError, TrackingError
from tasks.contracts.model import FrozenModel
from tasks.labelling.config import AUTO, IMAGENET
from tasks.tracking.registry import list_models

FOLDER = Path(__file__).parent
PREFECT_FILE, AUTOMATIONS_FILE = FOLDER / "prefect.yaml", FOLDER / "automations.yaml"
LAST_LINES = 6  # of what the process says, in an error
WITHIN_S = 180
REGISTRY_WITHIN_S = 5.0
MOST_CHOICES = 50  # models that a form offers, the newest first


def deploy_all(environment: Mapping[str, str] | None = None, *, pool_limits: Mapping[str, int] | None = None) -> None:
    """Make the pools that are missing, deploy every flow, and make the automations.

    Args:
        environment: with `PREFECT_API_URL`, and `PREFECT_API_AUTH_STRING` where the server asks for one; this
            process's own by default.
        pool_limits: how many runs a pool has at once, all its workers together; for a pool that is made by this call.

    Raises:
        DeployError: the server refuses, or does not answer.
    """
    limits = [f"{pool}={limit}" for pool, limit in (pool_limits or {}).items()]
    with tempfile.TemporaryDirectory(
        prefix="reelsift-deploy-"
    ) as folder:  # Prefect's command looks around where it runs
        _run([sys.executable, "-m", "deployments.register", *limits], folder, dict(environment or os.environ))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one of the files beside this one."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@cache
def own_entrypoints() -> dict[str, str]:
    """Return the module entrypoints of the flows in prefect.yaml, by the names of their deployments."""
    return {deployment["name"]: deployment["entrypoint"] for deployment in read_yaml(PREFECT_FILE)["deployments"]}


@cache
def own_automations() -> frozenset[str]:
    """Return the names of the automations that are deployed, triggers of deployments among them."""
    triggers = (each for one in read_yaml(PREFECT_FILE)["deployments"] for each in one.get("triggers", ()))
    return frozenset(each["name"] for each in [*triggers, *read_yaml(AUTOMATIONS_FILE)["automations"]])


@cache
def own_schedules() -> frozenset[tuple[str, str]]:
    """Return the slugs of the schedules in prefect.yaml, each with the name of its deployment."""
    deployments = read_yaml(PREFECT_FILE)["deployments"]
    return frozenset((one["name"], each["slug"]) for one in deployments for each in one.get("schedules", ()))


def _run(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> None:
    try:
        # S603: the command is this Python and a module of this package.
        run = subprocess.run(  # noqa: S603
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeployError(_failure(f"took more than {WITHIN_S} s", str(error.stdout or ""), environment)) from error
    if run.returncode:
        raise DeployError(_failure("failed", f"{run.stdout}\n{run.stderr}", environment))


def _failure(what: str, output: str, environment: Mapping[str, str]) -> str:
    lines = [line.strip("│╭╮╰╯─ ") for line in output.splitlines()]
    said = " ".join([line for line in lines if line][-LAST_LINES:]) or "nothing"
    server = environment.get("PREFECT_API_URL", "no server, for PREFECT_API_URL is not set")
    return f"Deploying to {server} {what}. Prefect said: {said} `reelsift status` shows whether the server is well."


# A run says nothing about its process: no command, no environment, no folder. `reelsift`'s own worker would not listen;
# this is for others, and for people who look at the pool.
POOL_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"stream_output": True},
    "variables": {"type": "object", "properties": {}, "additionalProperties": False},
}
POOL_DESCRIPTIONS = {
    "cpu": "Datasets, training and labelling: processes on machines without a GPU, or with one to spare.",
    "gpu": "Batches of videos: one worker a GPU, one run a worker.",
}


def make_pools(client: SyncPrefectClient, limits: Mapping[str, int]) -> None:
    """Make the pools that are missing, and let no run choose its command; the rest of a pool is as people left it.

    A worker that starts at the same time may be quicker, which is as good.
    """
    for name, description in POOL_DESCRIPTIONS.items():
        pool = WorkPoolCreate(
            name=name,
            type=ProcessWorker.type,
            description=description,
            base_job_template=POOL_TEMPLATE,
            concurrency_limit=limits.get(name),
        )
        try:
            there = client.read_work_pool(name)
            if there.type == ProcessWorker.type and there.base_job_template != POOL_TEMPLATE:
                client.update_work_pool(name, WorkPoolUpdate(base_job_template=POOL_TEMPLATE))
        except ObjectNotFound:
            try:
                client.create_work_pool(pool)
            except ObjectAlreadyExists:
                continue


def fill_pages(settings: Settings) -> None:
    """Let the forms of this process's flows show what is configured, and offer the presets and models that are there.

    A registry that cannot be read now has no models to offer; the forms take any name that is typed.
    """
    pages.page.settings = {
        name: section.model_dump(mode="json") for name, section in settings if isinstance(section, FrozenModel)
    }
    models = list[str]()
    with suppress(TrackingError):
        for row in list_models(store_of(settings), within_s=REGISTRY_WITHIN_S):
            models += [*(f"{row.name}@{alias}" for alias in row.aliases), row.reference]
    pages.page.choices = {
        "models": (AUTO, IMAGENET, "champion", *models[:MOST_CHOICES]),
        "presets": (*PRESETS, *settings.presets),
    }


def deploy(client: SyncPrefectClient, folder: Path) -> None:
    """Deploy all of `prefect.yaml`, but for what a person may have changed since it was first deployed.

    Prefect's command would put the file's schedules in the place of those on the server, and recreate the triggers.
    """
    wanted = read_yaml(PREFECT_FILE)
    for deployment in wanted["deployments"]:
        if _is_there(client, deployment):
            deployment.pop("schedules", None)
        deployment["version_type"] = "vcs:git"  # the only one looked for; else Git is asked five times for each
        for trigger in deployment.get("triggers", ()):
            there = client.read_automations_by_name(trigger["name"])
            trigger["enabled"] = there[0].enabled if there else trigger["enabled"]
    file = folder / PREFECT_FILE.name
    file.write_text(yaml.safe_dump(wanted, sort_keys=False), encoding="utf-8")
    sys.argv[1:] = ["--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    try:
        prefect_command()
    except SystemExit as ended:
        if ended.code:
            raise


def make_automations(client: SyncPrefectClient) -> None:
    """Make the automations that are missing, and bring those up to date that differ.

    One that is the same is left alone: what it has seen of runs that are under way would be forgotten.
    """
    for given in read_yaml(AUTOMATIONS_FILE)["automations"]:
        wanted = AutomationCore.model_validate(given)
        there = client.read_automations_by_name(wanted.name)
        if not there:
            client.create_automation(wanted)
        for each in there:
            if _content(each) != _content(wanted):
                client.update_automation(each.id, wanted.model_copy(update={"enabled": each.enabled}))


def _content(automation: AutomationCore) -> dict[str, Any]:
    """Return what an automation does, without what a server adds to it, and without whether it is switched on.

    In Python's own types: the events that it waits for are a set, which as JSON has an order, and not always the same.
    """
    shown = automation.model_dump(include={"description", "trigger", "actions"})
    return {**shown, "trigger": {name: value for name, value in shown["trigger"].items() if name != "id"}}


def _is_there(client: SyncPrefectClient, deployment: Mapping[str, Any]) -> bool:
    flow = deployment["entrypoint"].rpartition(".")[2].replace("_", "-")
    try:
        client.read_deployment_by_name(f"{flow}/{deployment['name']}")
    except ObjectNotFound:
        return False
    return True


def main() -> None:
    """Bring everything to the server; the current folder takes a file for Prefect's command."""
    limits = {pool: int(limit) for pool, _, limit in (each.partition("=") for each in sys.argv[1:])}
    if get_current_settings().api.url is None:  # Prefect would start a server for this process alone
        sys.exit("PREFECT_API_URL names no server.")
    try:
        with get_client(sync_client=True) as client:
            make_pools(client, limits)
            fill_pages(running_settings())
            deploy(client, Path.cwd())
            make_automations(client)
    except (httpx.HTTPError, PrefectException, ConfigError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
