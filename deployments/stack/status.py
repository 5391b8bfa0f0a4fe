"""How the stack is.

In: a home's noted state, and a plan made of it. Out: a row for each part. Changes nothing.
"""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
from pydantic import AwareDatetime, Field

from conf.running_stack import RunningPart, StackState
from deployments.stack.health import Health
from deployments.stack.part import Part
from deployments.stack.plan import StackPlan
from deployments.stack.prefect_api import PrefectApi
from deployments.stack.processes import trees
from tasks.contracts.model import FrozenModel


class PartStatus(FrozenModel):
    """A part of the stack as it is now."""

    name: str
    state: Literal["ready", "not ready", "dead"]
    pid: int
    since: AwareDatetime
    memory_bytes: int = Field(description="resident, of the process and of all that came of it")
    address: str | None
    log: Path


def stack_status(plan: StackPlan, state: StackState) -> list[PartStatus]:
    """Ask every part how it is."""
    planned = {part.name: part for part in plan.parts}
    with closing(PrefectApi(plan.api_url, plan.credentials)) as api:
        health = Health(api)
        return [_status(part, planned.get(part.name), health) for part in state.parts]


def _status(running: RunningPart, part: Part | None, health: Health) -> PartStatus:
    alive = running.is_alive
    ready = alive and part is not None and health.is_ready(part, running)
    return PartStatus(
        name=running.name,
        state="ready" if ready else "not ready" if alive else "dead",
        pid=running.pid,
        since=datetime.fromtimestamp(running.started_s, UTC),
        memory_bytes=sum(map(_resident, trees([running]))),
        address=running.address,
        log=running.log,
    )


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
