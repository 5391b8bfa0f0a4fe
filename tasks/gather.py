"""The results of many task runs, or one error that says how many failed and why.

In: futures of mapped tasks. Out: their results in order. All of them end before any failure is raised, so that
what could be done is done and kept.
"""

from collections.abc import Sequence
from typing import Any

from prefect.futures import PrefectFuture, wait


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
