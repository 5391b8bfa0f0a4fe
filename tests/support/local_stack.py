"""A real local stack for tests: brought up by the command, asked over HTTP as anybody would ask it."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from conf.home import Home
from conf.stack_state import home_credentials, read_state
from tests.conftest import AUTHORITY

REELSIFT = Path(sys.executable).parent / "reelsift"
TRIES = 10
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """Return this process's environment without what would lead a command elsewhere."""
    prefixes = ("REELSIFT_", "PREFECT_", "MLFLOW_", "CUDA_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return kept | AUTHORITY | {"REELSIFT_HOME": str(home), "COLUMNS": "160"} | variables


class LocalStack:
    """The stack of one home."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        self.prefect_port, self.mlflow_port = free_port(), free_port()
        self.environment = clean_environment(home, **variables)

    @cached_property
    def api(self) -> httpx.Client:
        """A client of the Prefect server; `down` closes it."""
        url = f"http://127.0.0.1:{self.prefect_port}/api"
        return httpx.Client(base_url=url, auth=self.login, timeout=30, trust_env=False)

    @property
    def login(self) -> tuple[str, str]:
        """The user and password that `up` has made for the home."""
        credentials = home_credentials(Home(self.home))
        assert credentials is not None
        return credentials.user, credentials.password

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def ports(self) -> list[str]:
        return ["--prefect-port", str(self.prefect_port), "--mlflow-port", str(self.mlflow_port)]

    def command(
        self, *arguments: str, folder: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `reelsift` with the stack's home, in a folder."""
        return subprocess.run(
            [str(REELSIFT), *arguments],
            env=self.environment | variables,
            cwd=folder or self.home.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def up(self, *arguments: str) -> dict[str, Any]:
        run = self.command("up", *self.ports, *arguments, "--json")
        assert run.returncode == 0, run.stderr + run.stdout
        return json.loads(run.stdout)

    def down(self) -> None:
        """Take the stack down, whatever became of it."""
        if "api" in self.__dict__:
            self.api.close()
        run = self.command("down", "--json")
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout)["processes"] >= 0

    def parts(self) -> dict[str, dict[str, Any]]:
        """Return what `reelsift status` says of each part."""
        run = self.command("status", "--json")
        return {part["name"]: part for part in json.loads(run.stdout)["parts"]}

    def processes(self) -> dict[str, int]:
        """Return the process of each part by the part's name, as the home notes them."""
        state = read_state(Home(self.home))
        assert state
        return {part.name: part.pid for part in state.parts}

    def post(self, path: str, body: dict[str, Any] | list[Any]) -> Any:
        """Send something to the Prefect server, which takes it."""
        answer = self.answered(path, body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def answered(self, path: str, body: dict[str, Any] | list[Any]) -> httpx.Response:
        """Return what the server answers, with the token that it wants of whoever changes something."""
        shown = self.token()
        answer = self.api.post(path, json=body, headers=shown)
        for _ in range(TRIES):
            if answer.status_code != 503:  # SQLite has one writer; Prefect's own clients ask again, too
                break
            time.sleep(0.5)
            answer = self.api.post(path, json=body, headers=shown)
        return answer

    def token(self) -> dict[str, str]:
        """Return the headers that show a token of the server's."""
        client = secrets.token_hex(8)
        token = self.api.get("/csrf-token", params={"client": client}).raise_for_status().json()["token"]
        return {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": client}

    def start(self, name: str, form: dict[str, Any], **options: Any) -> str:
        """Start a run of a deployment, with options of the API, and return its id."""
        deployment = self.api.get(f"/deployments/name/{name}/{name}").raise_for_status().json()
        body = {"parameters": {"form": form}, "state": {"type": "SCHEDULED"}, **options}
        return self.post(f"/deployments/{deployment['id']}/create_flow_run", body)["id"]

    def run(self, run_id: str) -> dict[str, Any]:
        return self.api.get(f"/flow_runs/{run_id}").raise_for_status().json()

    def ended(self, run_id: str, within_s: float) -> dict[str, Any]:
        """Wait for a run's end."""
        waited(lambda: self.run(run_id)["state_type"] in TERMINAL, within_s, f"run {run_id} to end")
        return self.run(run_id)

    def batches(self, run_id: str) -> list[dict[str, Any]]:
        """Return the runs that work on the batches of a run."""
        children = self.post("/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": [run_id]}}})
        return [child for child in children if child["name"].startswith("batch-")]

    def artifacts(self, run_id: str) -> dict[str, dict[str, Any]]:
        found = self.post("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}})
        return {artifact["key"]: artifact for artifact in found}


def waited(is_so: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait until something is so, and return for how many seconds; the longer it takes, the more rarely it is asked."""
    began_s = time.monotonic()
    while not is_so():
        so_far_s = time.monotonic() - began_s
        assert so_far_s < within_s, f"waited {within_s} s for {what}"
        time.sleep(min(0.5, max(0.1, so_far_s / 10)))
    return time.monotonic() - began_s
