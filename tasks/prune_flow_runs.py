"""Prefect's own record of flow runs that ended long ago: found, and deleted with their logs and artifacts.

Asks the server that Prefect is pointed at; that may be others' as well, so only flows of these names are looked at. The
server deletes task runs and logs with their flow run; artifacts it would leave, so they go first: a run that is still
there is found by the next pruning.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun
from prefect.exceptions import ObjectNotFound

from tasks.pruning.items import Findings, Item, Kept, Kind, Outcome

PAGE = 200  # the most that a server gives at once


def find_flow_runs(names: Collection[str], before: datetime, needed: Mapping[str, str]) -> Findings:
    """Return the runs of these flows that ended before a time; `needed` says of some ids why they stay.

    Raises:
        httpx.HTTPError: the server does not answer, or not to us.
    """
    goes, stays = list[Item](), list[Kept]()
    with get_client(sync_client=True) as client:
        for run in _ended(client, names, before):
            why, used, name = needed.get(str(run.id)), run.end_time, str(run.id)
            if why:
                stays.append(Kept(kind=Kind.FLOW_RUN, name=name, why=why, last_used=used))
            else:
                ended = f"{run.name}, {(run.state_name or 'ended').lower()}"
                goes.append(Item(kind=Kind.FLOW_RUN, name=name, why=ended, last_used=used))
    return Findings(goes=tuple(goes), stays=tuple(stays))


def remove_flow_runs(items: Sequence[Item]) -> Iterator[Outcome]:
    """Delete runs with their artifacts, but for those that have been started again."""
    with get_client(sync_client=True) as client:
        for item in items:
            try:
                yield Outcome(item=item, spared=_remove(client, UUID(item.name)))
            except ObjectNotFound:
                yield Outcome(item=item, spared="it is gone already")
            except httpx.HTTPError as error:
                yield Outcome(item=item, spared=f"the server says: {error}")


def _remove(client: SyncPrefectClient, run_id: UUID) -> str:
    run = client.read_flow_run(run_id)
    if not (run.state and run.state.is_final()):
        return "it was started again"
    made_by = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    while artifacts := client.read_artifacts(artifact_filter=made_by, limit=PAGE):
        for artifact in artifacts:
            if artifact.id:
                client.delete_artifact(artifact.id)
    client.delete_flow_run(run_id)
    return ""


def _ended(client: SyncPrefectClient, names: Collection[str], before: datetime) -> Iterator[FlowRun]:
    chosen = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=sorted(TERMINAL_STATES))),
        end_time=FlowRunFilterEndTime(before_=before),  # pyright: ignore[reportArgumentType] - a datetime of its own
    )
    flows = FlowFilter(name=FlowFilterName(any_=sorted(names)))
    offset = 0
    while page := client.read_flow_runs(flow_filter=flows, flow_run_filter=chosen, limit=PAGE, offset=offset):
        yield from page
        offset += len(page)
