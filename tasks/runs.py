"""What task runs share: gathering their results, their progress, and which failures are retried."""

import logging
from collections.abc import Sequence
from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import MissingContextError
from prefect.futures import PrefectFuture, wait
from prefect.logging import get_run_logger
from prefect.tasks import exponential_backoff

from tasks.contracts.errors import DownloadError, ReelsiftError
from tasks.contracts.progress import LineProgress, Progress, listener


def gather(*stages: Sequence[PrefectFuture[Any]]) -> list[Any]:
    """Wait for all stages and return the results of the last.

    Raises:
        Exception: the first failure of the earliest stage that has one; further ones are added as notes.
    """
    wait([future for stage in stages for future in stage])
    for stage in stages:
        failures = [error for future in stage if (error := _failure(future)) is not None]
        if failures:
            for another in failures[1:]:
                failures[0].add_note(str(another))
            raise failures[0]
    return [future.result() for future in stages[-1]]


def _failure(future: PrefectFuture[Any]) -> BaseException | None:
    result = future.result(raise_on_failure=False)
    return result if isinstance(result, BaseException) else None


LOG_EVERY_S = 10.0


def current_progress() -> Progress:
    """Return the terminal's listener where there is one, else one that writes to the run's log."""
    watching = listener()
    if watching is not None:
        return watching
    try:
        return LineProgress(get_run_logger().info, LOG_EVERY_S)
    except MissingContextError:  # called as a plain function, outside of any run
        return LineProgress(logging.getLogger("reelsift").info, LOG_EVERY_S)


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
