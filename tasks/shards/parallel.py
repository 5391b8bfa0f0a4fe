"""Many jobs at once in threads, ended promptly by Ctrl-C or by the first error.

In: jobs and what to do with one. Out: the results. Does not know what the work is.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TypeVar

from tasks.contracts.progress import check_ending

# Between two waits, this thread hears that the process is to end, be it the main one or a task's.
POLL_S = 0.2
GRACE_S = 2.0

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_each(jobs: Sequence[Job], work: Callable[[Job], Result], threads: int, stop: Event) -> list[Result]:
    """Return the result of `work` for each job, in the order of the jobs.

    The first exception of a job, or one in this thread, sets `stop` (for which `work` looks where it waits), gives all
    threads a moment to end, and is raised. The threads are daemons, unlike those of an executor: one
    that waits for a silent server cannot keep the program from ending.
    """
    futures: list[Future[Result]] = [Future() for _ in jobs]
    todo: SimpleQueue[tuple[Job, Future[Result]]] = SimpleQueue()
    for pair in zip(jobs, futures, strict=True):
        todo.put(pair)
    workers = [
        Thread(target=_work_through, args=(todo, work, stop), daemon=True) for _ in range(min(threads, len(jobs)))
    ]
    try:
        for worker in workers:
            worker.start()
        _await(futures)
        return [future.result() for future in futures]
    except BaseException:
        stop.set()
        for worker in workers:
            worker.join(GRACE_S / len(workers))
        raise


def _work_through(todo: SimpleQueue[tuple[Job, Future[Result]]], work: Callable[[Job], Result], stop: Event) -> None:
    while not stop.is_set():
        try:
            job, future = todo.get_nowait()
        except Empty:
            return
        try:
            future.set_result(work(job))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, which raises it
            future.set_exception(error)


def _await(futures: Sequence[Future[Result]]) -> None:
    """Wait until all are done, and raise the first exception without waiting for the others."""
    pending = set(futures)
    while pending:
        check_ending()
        done, pending = wait(pending, POLL_S, FIRST_EXCEPTION)
        for future in done:
            future.result()
