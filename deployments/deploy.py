"""Everything that is deployed, brought to a Prefect server: pools, deployments, automations.

In: the environment of a client of that server. Out: what the YAML files beside this one say, on the server; a second
call changes nothing. Imports no Prefect, for the work is done by a process that has the environment from its start.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tasks.contracts.errors import DeployError

FOLDER = Path(__file__).parent
PREFECT_FILE, AUTOMATIONS_FILE = FOLDER / "prefect.yaml", FOLDER / "automations.yaml"
LAST_LINES = 6  # of what the process says, in an error
WITHIN_S = 180


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
