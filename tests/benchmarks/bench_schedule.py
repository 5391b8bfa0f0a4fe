"""Retraining on a schedule of every minute: a real stack, whose cron finds a plan that grows once."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.records.synthetic import write_mirror
from tests.support.growing_mirror import GrowingMirror
from tests.support.local_stack import LocalStack
from tests.support.mirror_server import MirrorServer

EVERY_MINUTE = "* * * * *"
WITHIN_S = 400.0
LOOK_EVERY_S = 3.0
PLANS = (  # shards to train on that the plan names, what the run must do, and what it then says
    (3, "new shards: a version, a training, a promotion", "cooking/1 is the new champion"),
    (3, "no new shards: nothing", "nothing to do, cooking/1 stays the champion"),
    (4, "a new shard: a version, a training, the gate", "cooking/1 stays the champion"),
    (4, "no new shards: nothing", "nothing to do, cooking/1 stays the champion"),
)


def rows() -> list[tuple[str, str, str]]:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        write_mirror(Path(folder) / "source")
        plan = GrowingMirror(Path(folder) / "source", Path(folder) / "mirror")
        with MirrorServer(plan.folder) as server, _stack(Path(folder) / "home") as stack:
            plan.name_shards("train", PLANS[0][0])
            _schedule(stack, {"mirror": server.url, "models": ["logistic"], "background": 2})
            return list(_measured(stack, plan))


@contextmanager
def _stack(home: Path) -> Iterator[LocalStack]:
    stack = LocalStack(home, REELSIFT_DOWNLOAD__RESERVE_BYTES="0")
    stack.up("--gpu-workers", "1")
    try:
        yield stack
    finally:
        stack.down()


def _schedule(stack: LocalStack, form: dict[str, Any]) -> None:
    deployment = stack.api.get("/deployments/name/retrain/retrain").raise_for_status().json()
    cron = {"schedule": {"cron": EVERY_MINUTE, "timezone": "UTC"}, "slug": "every-minute", "active": True}
    stack.post(f"/deployments/{deployment['id']}/schedules", [cron | {"parameters": {"form": form}}])


def _measured(stack: LocalStack, plan: GrowingMirror) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each run that ended, the plan being changed before the next is due."""
    for number, (shards, what, said) in enumerate(PLANS):
        plan.name_shards("train", shards)
        run = _ended_run(stack, number)
        found = stack.artifacts(run["id"])["retrain-cooking"]["description"]
        late_s = _seconds(run["start_time"]) - _seconds(run["expected_start_time"])
        took = f"{run['total_run_time']:.1f} s, {late_s:.0f} s after it was due"
        yield what, f"{found} ({took})", said
    cancelled = len(_runs(stack, "CANCELLED"))
    yield "runs that were due while one was under way", f"{cancelled} cancelled", "all cancelled"


def _ended_run(stack: LocalStack, number: int) -> dict[str, Any]:
    """Wait until the schedule has ended so many runs and one more, and return that."""
    deadline_s = time.monotonic() + WITHIN_S
    while len(ended := _runs(stack, "COMPLETED", "FAILED", "CRASHED")) <= number:
        assert time.monotonic() < deadline_s, f"run {number + 1} of the schedule did not end within {WITHIN_S:.0f} s"
        time.sleep(LOOK_EVERY_S)
    return ended[number]


def _runs(stack: LocalStack, *states: str) -> list[dict[str, Any]]:
    chosen = {
        "flows": {"name": {"any_": ["retrain"]}},
        "flow_runs": {"state": {"type": {"any_": list(states)}}},
        "sort": "START_TIME_ASC",
    }
    return stack.post("/flow_runs/filter", chosen)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
