"""Where a flow's tasks run: threads of its own process, or the processes of a Dask cluster."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from prefect import get_client
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.contracts.errors import ConfigError
from tasks.contracts.model import is_loopback
from tasks.runs import current_progress

ANSWER_S = 5  # for a scheduler that is named
WORKERS_S = 30  # for the first of its workers
ANY_PORT = "127.0.0.1:0"  # with none named, every scheduler wants 8787, and a second one finds it taken
THREADS = 2  # of a process: one batch is downloaded while another is filtered


@contextmanager
def tasks_on(runner: str, address: str | None, processes: int) -> Iterator[None]:
    """Let what the flow submits within the block run where `runner` says.

    Raises:
        ConfigError: Dask is not installed, or there is no cluster at the address that could do it.
    """
    if runner != "dask":
        if address:
            raise ConfigError(
                f"A Dask scheduler is named ({address}), but the runner is {runner!r}: add `--runner dask`."
            )
        yield
        return
    context = FlowRunContext.get()
    assert context, "only a flow has tasks to submit"
    with ExitStack() as stack:
        # The workers are other processes: they ask the server that this run has, be it one of its own.
        stack.enter_context(temporary_settings({PREFECT_API_URL: _server_for(address)}))
        chosen = stack.enter_context(connected(address, processes))
        stack.enter_context(context.model_copy(update={"task_runner": chosen}))
        yield


def tell_of(batches: Sequence[PrefectFuture[Any]]) -> None:
    """Count the batches as they end, for their own progress is reported in processes that nobody here listens to."""
    progress = current_progress()
    progress.begin("batches", len(batches), "batches")
    for batch in batches:
        batch.add_done_callback(lambda _: progress.advance("batches", 1))


def _server_for(address: str | None) -> str:
    """Return the address of this run's server.

    Raises:
        ConfigError: workers on other machines could not reach it.
    """
    with get_client(sync_client=True) as client:
        server = str(client.api_url)
    if address and not _is_here(address) and _is_here(server):
        raise ConfigError(
            f"The workers of {address} cannot reach this run's Prefect server, which listens on this machine alone "
            f"({server}): start one for all with `prefect server start --host`, and set PREFECT_API_URL to its address."
        )
    return server


def _is_here(address: str) -> bool:
    return is_loopback(urlsplit(address).hostname or "")


@contextmanager
def connected(address: str | None, processes: int) -> Iterator[Any]:
    """Yield a runner with workers: of the scheduler at `address`, or of a cluster that is made for the block."""
    try:
        from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "The runner dask needs prefect-dask, which is not installed: `pip install -e '.[dask]'` in the checkout."
        ) from error
    made = None if address else _cluster(processes)
    with DaskTaskRunner(address=address, cluster_kwargs=made, client_kwargs={"timeout": ANSWER_S}) as runner:
        _await_workers(runner, address)
        yield runner


def _cluster(processes: int) -> dict[str, Any]:
    """Return what a cluster on this machine consists of."""
    return {
        "n_workers": processes,
        "threads_per_worker": THREADS,
        "host": "127.0.0.1",
        "security": True,  # anyone who reaches a scheduler runs code as we do: others on this machine shall not
        "dashboard_address": ANY_PORT,
        "memory_limit": 0,  # the stages bound their own
    }


def _await_workers(runner: Any, address: str | None) -> None:  # noqa: ANN401 - of a package that may not be there
    """Wait for the first worker; a scheduler without any would keep a run waiting for ever.

    Raises:
        ConfigError: there is no scheduler, or none of its workers came.
    """
    try:
        client = runner.client
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"No Dask scheduler answers at {address!r} ({' '.join(str(error).split())[:200]}): start one with "
            "`dask scheduler`, or leave the address out for a cluster of this machine's processes."
        ) from error
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TimeoutError as error:
        raise ConfigError(
            f"The Dask scheduler at {address} has no worker: start some with `dask worker {address}`, where reelsift "
            "is installed as it is here."
        ) from error
