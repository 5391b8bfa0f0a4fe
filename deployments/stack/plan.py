"""The parts of a stack.

In: a home, options and credentials. Out: its servers and its workers, with the environment that all of them share.
Does not start them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conf.home import Home
from conf.running_stack import Credentials
from deployments.stack.environment import stack_environment
from deployments.stack.mlflow_server import mlflow_server
from deployments.stack.options import StackOptions
from deployments.stack.part import Part
from deployments.stack.prefect_server import prefect_server
from deployments.stack.workers import visible_devices, workers


@dataclass(frozen=True)
class StackPlan:
    """What is to run."""

    home: Home
    options: StackOptions
    credentials: Credentials | None
    environment: dict[str, str]  # of a client of both servers
    servers: tuple[Part, ...]
    workers: tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """Everything, in the order in which it starts."""
        return self.servers + self.workers

    @property
    def api_url(self) -> str:
        """Where the Prefect server answers its clients on this machine."""
        return self.environment["PREFECT_API_URL"]

    def log(self, part: Part) -> Path:
        """Return the file that takes what a part prints."""
        return self.home.stack / f"{part.name}.log"


def plan_stack(
    home: Home,
    options: StackOptions,
    credentials: Credentials | None,
    *,
    config: Path | None = None,
    paths: Mapping[str, str] | None = None,
) -> StackPlan:
    """Say which processes a stack consists of on this machine; `paths` are variables that its runs must find."""
    shared = stack_environment(home, options, credentials, config=config) | dict(paths or {})
    return StackPlan(
        home=home,
        options=options,
        credentials=credentials,
        environment=shared,
        servers=(prefect_server(options, credentials, shared), mlflow_server(home, options, credentials, shared)),
        workers=tuple(workers(options, shared, visible_devices())),
    )
