"""One `up` or `down` at a time in each home.

In: a home. Out: a lock that the kernel takes back when its holder dies. Does not wait.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from conf.home import Home
from tasks.contracts.errors import StackError


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Keep others from starting or stopping the stack of a home.

    Raises:
        StackError: somebody does so right now.
    """
    home.make_private(home.stack)  # what the parts print may say more than others should read
    with (home.stack / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"Another `reelsift up` or `reelsift down` is at work in {home.root}. Wait for its end, or end it."
            ) from error
        yield
