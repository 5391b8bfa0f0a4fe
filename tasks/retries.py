"""Which failures of a task are worth another try.

In: a failed task run. Out: yes or no. A stage has its own, finer retries inside; these are for what lasts longer.
"""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from tasks.contracts.errors import DownloadError, ReelsiftError


async def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Say yes to a mirror's failure and to what nobody foresaw, no to an input that will not get better."""
    try:
        await state.aresult()
    except DownloadError:
        return True
    except ReelsiftError:
        return False
    except Exception:  # noqa: BLE001 - whatever it was, it is only judged here; Prefect has recorded it
        return True
    return False


def retrying(retries: int, delay_s: float) -> dict[str, Any]:
    """Return the options of a task that is tried again with exponential back-off and jitter."""
    return {
        "retries": retries,
        "retry_delay_seconds": exponential_backoff(delay_s),
        "retry_jitter_factor": 0.5,
        "retry_condition_fn": worth_retrying,
    }
