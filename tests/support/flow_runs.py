"""What a flow run did, asked of the real server that recorded it."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from prefect import Flow, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, TaskRun

ATTEMPTS, EVERY_S = 100, 0.1


@dataclass(frozen=True)
class FlowRun:
    """A flow run that has ended."""

    result: Any
    tasks: list[TaskRun]
    name: str
    state: State[Any]

    def states(self) -> Counter[str]:
        """Count the task runs by the name of their state, e.g. Completed or Cached."""
        return Counter(str(task.state_name) for task in self.tasks)

    def headlines(self) -> dict[str, str | None]:
        """Return what the state of each task run says, by the name of the run."""
        return {task.name: task.state.message if task.state else None for task in self.tasks}

    def states_of(self, name: str) -> Counter[str]:
        """Count the runs of one task by the name of their state."""
        return Counter(str(task.state_name) for task in self.tasks if task.name.startswith(name))


def run_flow(flow: Flow[..., Any], form: Any) -> FlowRun:
    """Run the flow here and read what the server recorded; failures are raised as the flow raised them."""
    state = flow(form, return_state=True)
    with get_client(sync_client=True) as client:
        chosen = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        # The server records the states of task runs from events, a moment after the flow has ended.
        tasks: list[TaskRun] = []
        for _ in range(ATTEMPTS):
            tasks = client.read_task_runs(flow_run_filter=chosen, limit=200)
            if all(task.state and task.state.is_final() for task in tasks):
                break
            time.sleep(EVERY_S)
        recorded = client.read_flow_run(state.state_details.flow_run_id)
    assert recorded.state is not None
    return FlowRun(state.result(), tasks, recorded.name, recorded.state)
