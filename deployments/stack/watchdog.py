"""A process beside `up` that ends what `up` has started if that dies first, as by SIGKILL, which nothing can catch.

It reads a pipe that `up` alone writes to. One byte says that the stack stands; without it, the pipe's end says that
`up` has died, and every process that bears its token in the environment is ended.
"""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from conf.home import Home
from deployments.stack.processes import bearing, stop
from tasks.contracts.errors import StackError

UP_VARIABLE = "REELSIFT_UP"  # of the `up` that started a process, in the environment of all that come of it
TOKEN_BYTES = 16
KEEP = b"k"
PATIENCE_S = 3.0
SETTLE_S = 0.5  # a program that is just being loaded shows no environment
END_WAIT_S = 15.0


@dataclass(frozen=True)
class Watchdog:
    """The process, as `up` sees it."""

    variables: dict[str, str]  # for the environment of everything that `up` starts
    process: subprocess.Popen[bytes]

    def release(self) -> None:
        """Let everything live on when `up` ends."""
        if self.process.stdin:
            with suppress(BrokenPipeError):  # somebody has ended the watchdog: there is nothing to call off
                self.process.stdin.write(KEEP)
                self.process.stdin.flush()


@contextmanager
def watched(home: Home, lock: int) -> Iterator[Watchdog]:
    """Have a watchdog for as long as the block lasts, and until what it ends has ended.

    It holds `lock`, the file that keeps other commands from the stack, so that none meets what is about to go.

    Raises:
        StackError: it cannot be started.
    """
    token = secrets.token_hex(TOKEN_BYTES)
    try:
        # S603: this Python and this module.
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", __name__, token],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[lock],
            cwd=home.stack,
            start_new_session=True,  # neither Ctrl-C nor a closed terminal is for it
        )
    except OSError as error:
        raise StackError(f"The process that watches over `reelsift up` cannot be started: {error}.") from error
    try:
        yield Watchdog({UP_VARIABLE: token}, process)
    finally:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(END_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(token: str) -> None:
    """Wait for `up` to say something or to die; in that case, end what bears the token."""
    if os.read(sys.stdin.fileno(), 1) == KEEP:
        return
    empty = 0
    while empty < 2:
        found = bearing(UP_VARIABLE, token)
        if found:
            with suppress(StackError):  # it is tried again
                stop(found, PATIENCE_S)
        empty = 0 if found else empty + 1
        time.sleep(SETTLE_S)


if __name__ == "__main__":
    main(sys.argv[1])
