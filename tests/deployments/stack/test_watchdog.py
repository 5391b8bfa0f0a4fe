"""`reelsift up`, ended by SIGKILL while it starts: nothing that it has started stays."""

import signal
from collections.abc import Callable

import psutil
import pytest

from deployments.stack.watchdog import UP_VARIABLE
from tests.support.ended_commands import GONE_WITHIN_S, left_after, processes_of, started, wait_for
from tests.support.local_stack import LocalStack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> LocalStack:
    """One home for all: to make the tables of Prefect's database takes seconds."""
    return LocalStack(tmp_path_factory.mktemp("killed") / "home")


def first_part_runs(stack: LocalStack) -> bool:
    return any(UP_VARIABLE in process.environ() for process in processes_of(stack.home))


def worker_works(stack: LocalStack) -> bool:
    log = stack.home / "stack" / "cpu-0.log"
    return log.exists() and "started!" in log.read_text()


@pytest.mark.parametrize("moment", [first_part_runs, worker_works])
def test_a_killed_up_leaves_neither_process_nor_port(stack: LocalStack, moment: Callable[[LocalStack], bool]) -> None:
    ports = {stack.prefect_port, stack.mlflow_port}
    with started(stack.home, "up", *stack.ports) as process:
        wait_for(process, lambda: _is(moment, stack))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert processes_of(stack.home)
        # Another command waits until all of it has gone, and never meets half a stack.
        down = stack.command("down")
        assert (down.returncode, "No stack runs in" in down.stdout) == (0, True), down.stderr
        assert not left_after(stack.home, ports, GONE_WITHIN_S)


def _is(moment: Callable[[LocalStack], bool], stack: LocalStack) -> bool:
    try:
        return moment(stack)
    except psutil.Error:  # a process has gone meanwhile
        return False


def test_what_is_up_outlives_its_command_and_the_watchdog(local_stack: LocalStack) -> None:
    parts = local_stack.parts().values()
    assert {part["state"] for part in parts} == {"ready"}
    assert all(UP_VARIABLE in psutil.Process(part["pid"]).environ() for part in parts)
    assert not any("deployments.stack.watchdog" in process.cmdline() for process in processes_of(local_stack.home))
