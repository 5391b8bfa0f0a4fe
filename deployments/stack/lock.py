"""One `up` or `down` at a time in each home.

In: a home. Out: a lock that the kernel takes back when its holders die: a command, and what clears up after one.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from conf.home import Home
from tasks.contracts.errors import StackError

WITHIN_S = 10.0  # an `up` that was killed is cleared up after by then
TRY_EVERY_S = 0.1


@contextmanager
def alone(home: Home) -> Iterator[int]:
    """Keep others from starting or stopping the stack of a home, by a lock on the file whose number this returns.

    Raises:
        StackError: somebody has been at it for some time.
    """
    home.make_private(home.stack)  # what the parts print may say more than others should read
    with (home.stack / "lock").open("w") as file:
        deadline_s = time.monotonic() + WITHIN_S
        while not _locks(file.fileno()):
            if time.monotonic() > deadline_s:
                raise StackError(
                    f"Another `reelsift up` or `reelsift down` is at work in {home.root}. Wait for its end, or end it."
                )
            time.sleep(TRY_EVERY_S)
        yield file.fileno()


def _locks(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
