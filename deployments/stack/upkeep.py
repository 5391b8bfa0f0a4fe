"""What has to be put right in a server's books before workers start: runs that died, and what somebody else put there.

The database may have been written to while the stack was down. So what reelsift did not make, and what was not there
when the stack last went down, is switched off until somebody says otherwise. Workers refuse other deployments anyway.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from conf.home import Home
from deployments.register import own_automations, own_entrypoints, own_schedules
from deployments.stack.plan import CPU_POOL, GPU_POOL
from deployments.stack.prefect_api import PrefectApi
from tasks.contracts.files import write_text

KNOWN_NAME = "known.json"
WORKER_LABEL = "prefect.worker.name"
UNDER_WAY = ("RUNNING", "PENDING", "CANCELLING")
# As in automations.yaml: runs say every 180 s that they live, unless PREFECT_FLOWS_HEARTBEAT_FREQUENCY says otherwise.
SILENT_S = 540
NEVER_STARTED_S = 60
GONE = (
    "Its process was gone when the stack was started. What it finished is kept; the same run again goes on from there."
)


def crash_lost_runs(
    api: PrefectApi, living: Iterable[str], starting: Iterable[str], now: datetime | None = None
) -> int:
    """Mark as crashed what still counts as under way and has no process, and return how many that were.

    `living` are workers of this stack that run already, and look after their runs; `starting` those that will be
    started, whose former runs ended with them.
    """
    now = now or datetime.now(UTC)
    filtered = {"flow_runs": {"state": {"type": {"any_": list(UNDER_WAY)}}}}
    runs = list(api.all("flow_runs", filtered))
    heard = _heard_of(api, now) if any(not run["work_pool_name"] for run in runs) else set()
    lost = [run for run in runs if _is_lost(run, set(living), set(starting), heard, now)]
    for run in lost:
        state = {"type": "CRASHED", "name": "Crashed", "message": GONE}
        api.send("POST", f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
    return len(lost)


def _is_lost(run: dict[str, Any], living: set[str], starting: set[str], heard: set[str], now: datetime) -> bool:
    age_s = (now - datetime.fromisoformat(run["state"]["timestamp"])).total_seconds()
    if not run["work_pool_name"]:  # of a command, perhaps on another machine
        return age_s > SILENT_S and run["id"] not in heard
    worker = (run.get("labels") or {}).get(WORKER_LABEL)
    if worker is None:  # a worker died between taking it and saying so
        return run["work_pool_name"] in {CPU_POOL, GPU_POOL} and age_s > NEVER_STARTED_S
    return worker in starting and worker not in living


def _heard_of(api: PrefectApi, now: datetime) -> set[str]:
    """Return the runs that have given a sign of life lately."""
    heard = set()
    wanted = {
        "occurred": {"since": (now - timedelta(seconds=SILENT_S)).isoformat(), "until": now.isoformat()},
        "event": {"prefix": ["prefect.flow-run."]},
    }
    page = api.send("POST", "/events/filter", {"filter": wanted, "limit": 50})
    while True:
        heard |= {each["resource"]["prefect.resource.id"].rpartition(".")[2] for each in page["events"]}
        if not page.get("next_page"):
            return heard
        page = api.get(page["next_page"]).raise_for_status().json()


def switch_off_foreign(api: PrefectApi, home: Home) -> list[str]:
    """Pause what reelsift did not make, and return a line for each kind of it."""
    known = _known(home)
    deployments = list(api.all("deployments"))
    foreign = [each for each in deployments if not _is_own(each) and _is_for_us(each) and not each["paused"]]
    for each in foreign:
        api.send("PATCH", f"/deployments/{each['id']}", {"paused": True})
    schedules = [
        (each, schedule)
        for each in deployments
        for schedule in each["schedules"]
        if schedule["active"]
        and (each["name"], schedule["slug"]) not in own_schedules()
        and schedule["id"] not in known
        and _is_for_us(each)
    ]
    for each, schedule in schedules:
        api.send("PATCH", f"/deployments/{each['id']}/schedules/{schedule['id']}", {"active": False})
    automations = [
        each
        for each in api.all("automations")
        if each["enabled"] and each["name"] not in own_automations() and each["id"] not in known
    ]
    for each in automations:
        api.send("PATCH", f"/automations/{each['id']}", {"enabled": False})
    found = {
        "Deployments": [each["name"] for each in foreign],
        "Schedules of": [each["name"] for each, _ in schedules],
        "Automations": [each["name"] for each in automations],
    }
    return [_told(kind, names) for kind, names in found.items() if names]


def note_known(api: PrefectApi, home: Home) -> None:
    """Remember which schedules and automations are there, for who made them had the stack's password."""
    with suppress(httpx.HTTPError, ValueError):
        schedules = [schedule["id"] for each in api.all("deployments") for schedule in each["schedules"]]
        automations = [each["id"] for each in api.all("automations")]
        write_text(home.stack / KNOWN_NAME, json.dumps([*schedules, *automations]) + "\n")


def _known(home: Home) -> set[str]:
    try:
        return {str(each) for each in json.loads((home.stack / KNOWN_NAME).read_bytes())}
    except (OSError, ValueError, TypeError):
        return set()


def _is_own(deployment: dict[str, Any]) -> bool:
    own = own_entrypoints().get(deployment["name"])
    return own is not None and deployment["entrypoint"] == own and not deployment["pull_steps"]


def _is_for_us(deployment: dict[str, Any]) -> bool:
    """Say whether the stack's own workers would be given the runs of a deployment."""
    return deployment["work_pool_name"] in {CPU_POOL, GPU_POOL}


def _told(kind: str, names: list[str]) -> str:
    listed = ", ".join(repr(name) for name in sorted(set(names)))
    return f"{kind} that reelsift did not make were paused: {listed}. `reelsift up --keep-foreign` leaves them be."
