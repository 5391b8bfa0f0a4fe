"""Processes that outlive the command that started them: started, found again, ended, and their logs."""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from conf.stack_state import RunningPart, process_identity
from deployments.stack.plan import STACK_VARIABLE, StackPart
from tasks.contracts.errors import StackError
from tasks.contracts.text import inert, without_secrets

KILL_WAIT_S = 5.0


def start(part: StackPart, log: Path, variables: Mapping[str, str]) -> RunningPart:
    """Start a part with some more variables; what it prints goes to `log`, whose former content is kept beside it.

    Raises:
        StackError: it cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        log.replace(log.with_suffix(".previous.log"))
    try:
        with log.open("wb") as output:
            # S603: commands of the stack's own making.
            process = subprocess.Popen(  # noqa: S603
                part.command,
                env={**part.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is not for it
                cwd=log.parent,
            )
        identity, began_s = process_identity(process.pid), psutil.Process(process.pid).create_time()
    except (OSError, psutil.Error) as error:
        raise StackError(f"{part.name} cannot be started: {error}.") from error
    return RunningPart(
        name=part.name,
        pid=process.pid,
        identity=identity,
        started_s=began_s,
        log=log,
        port=part.port,
        address=part.address,
        client_url=part.client_url,
    )


def trees(parts: Iterable[RunningPart]) -> list[psutil.Process]:
    """Return the processes of the parts that live, and all their children."""
    found: dict[int, psutil.Process] = {}
    for part in parts:
        if part.is_alive:
            with suppress(psutil.Error):
                root = psutil.Process(part.pid)
                found |= {process.pid: process for process in [root, *root.children(recursive=True)]}
    return list(found.values())


def marked(stack: Path) -> list[psutil.Process]:
    """Return the processes that bear the mark of a home's stack, whatever their parents are by now."""
    return bearing(STACK_VARIABLE, str(stack))


def bearing(variable: str, value: str) -> list[psutil.Process]:
    """Return all processes but this one that have a variable of this value in their environment."""
    return [
        process
        for process in psutil.process_iter()
        if _variable(process, variable) == value and process.pid != os.getpid()
    ]


def stop(processes: Sequence[psutil.Process], patience_s: float) -> int:
    """Ask processes to end, and end those that do not within `patience_s`; return how many had to be.

    Raises:
        StackError: some cannot be ended.
    """
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=patience_s)
    stubborn = [process for process in stubborn if _lives(process)]
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, left = psutil.wait_procs(stubborn, timeout=KILL_WAIT_S)
    left = [process for process in left if _lives(process)]
    if left:
        raise StackError(f"Processes {', '.join(str(process.pid) for process in left)} cannot be ended.")
    return len(stubborn)


def _variable(process: psutil.Process, name: str) -> str | None:
    try:
        return process.environ().get(name)
    except (psutil.Error, OSError):  # not ours to look at, or gone
        return None


def _lives(process: psutil.Process) -> bool:
    """Say whether a process still does anything: one that nobody has asked after yet is only a name."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


BLOCK_BYTES = 64 << 10
LOOK_EVERY_S = 0.25
WORDS_LENGTH = 300


def last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log, which may be huge; none where there is no file."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            data = b""
            while size and data.count(b"\n") <= count:
                step = min(BLOCK_BYTES, size)
                size = file.seek(size - step)
                data = file.read(step) + data
    except FileNotFoundError:
        return []
    return _text(data).splitlines()[-count:] if count else []


def following(log: Path, is_alive: Callable[[], bool]) -> Iterator[str]:
    """Yield what is written to a log from now on, until its writer has ended."""
    with log.open("rb") as file:
        file.seek(0, 2)
        while True:
            alive = is_alive()  # asked first: what was written before the end is read after it
            if data := file.read():
                yield _text(data)
            elif not alive:
                return
            else:
                time.sleep(LOOK_EVERY_S)


def last_words(log: Path) -> str:
    """Return the end of a log in one line, for an error."""
    lines = [line.strip() for line in last_lines(log, 20) if line.strip()]
    words = " | ".join(lines[-3:])
    return words[-WORDS_LENGTH:] or "none."


def _text(data: bytes) -> str:
    return inert(without_secrets(data.decode("utf-8", "replace").replace("\r\n", "\n")))
