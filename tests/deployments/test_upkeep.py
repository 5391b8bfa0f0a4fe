"""Runs that nobody is at, and schedules that somebody planted, on a real Prefect server without workers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import get_current_settings

from conf.home import Home
from deployments.stack.prefect_api import PrefectApi
from deployments.stack.upkeep import NEVER_STARTED_S, SILENT_S, crash_lost_runs, note_known, switch_off_foreign


@pytest.fixture
def api(prefect_server: None) -> Iterator[PrefectApi]:
    client = PrefectApi(str(get_current_settings().api.url), None)
    yield client
    client.close()


def deployment(api: PrefectApi, name: str) -> dict[str, Any]:
    if not any(pool["name"] == "cpu" for pool in api.send("POST", "/work_pools/filter", {})):
        api.send("POST", "/work_pools/", {"name": "cpu", "type": "process"})
    flow = api.send("POST", "/flows/", {"name": name})
    return api.send("POST", "/deployments/", {"name": name, "flow_id": flow["id"], "work_pool_name": "cpu"})


def state(api: PrefectApi, run: dict[str, Any]) -> str:
    (found,) = api.send("POST", "/flow_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    return found["state_type"]


def after(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_run_that_no_worker_has_claimed_for_a_minute_is_crashed(api: PrefectApi) -> None:
    made = deployment(api, "unclaimed")
    run = api.send("POST", f"/deployments/{made['id']}/create_flow_run", {"state": {"type": "PENDING"}})
    crash_lost_runs(api, [], [], after(NEVER_STARTED_S - 20))
    assert state(api, run) == "PENDING"
    assert crash_lost_runs(api, [], [], after(NEVER_STARTED_S + 5)) >= 1
    assert state(api, run) == "CRASHED"


def test_a_commands_run_that_is_silent_for_nine_minutes_is_crashed(api: PrefectApi) -> None:
    flow = api.send("POST", "/flows/", {"name": "of a command"})
    run = api.send("POST", "/flow_runs/", {"flow_id": flow["id"], "state": {"type": "RUNNING"}})
    crash_lost_runs(api, [], [], after(SILENT_S - 60))
    assert state(api, run) == "RUNNING"
    assert crash_lost_runs(api, [], [], after(SILENT_S + 60)) >= 1
    assert state(api, run) == "CRASHED"


def test_a_schedule_that_was_planted_is_switched_off_and_one_that_was_known_is_not(
    api: PrefectApi, tmp_path: Path
) -> None:
    made, home = deployment(api, "scheduled"), Home(tmp_path)
    home.stack.mkdir(parents=True)
    daily = {"schedule": {"interval": 86400}, "active": True}
    (known,) = api.send("POST", f"/deployments/{made['id']}/schedules", [daily])
    note_known(api, home)
    (planted,) = api.send("POST", f"/deployments/{made['id']}/schedules", [daily])
    lines = switch_off_foreign(api, home)
    assert any(line.startswith("Schedules of") and "'scheduled'" in line for line in lines)
    listed = api.send("POST", "/deployments/filter", {"deployments": {"id": {"any_": [made["id"]]}}})[0]["schedules"]
    assert {each["id"]: each["active"] for each in listed} == {known["id"]: True, planted["id"]: False}
