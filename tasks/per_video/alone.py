"""One video of many: whatever is wrong with it stays with it.

In: a source and the work to do for it. Out: its outcome, also where the work failed. Does not know the work.
"""

import logging
from collections.abc import Callable

from tasks.contracts.errors import ReelsiftError
from tasks.contracts.outcomes import FAILED, VideoOutcome


def alone(source: str, work: Callable[[], VideoOutcome]) -> VideoOutcome:
    """Do the work and return its outcome; a failure becomes an outcome too, so that the other videos are not lost."""
    try:
        return work()
    except ReelsiftError as error:
        return failed(source, str(error))
    except Exception as error:  # noqa: BLE001 - the other videos must not be lost
        return unexpected(source, error)


def unexpected(source: str, error: Exception) -> VideoOutcome:
    """Return the outcome of a source that met an error of no kind of ours; called where the error is handled."""
    if isinstance(error, OSError) and error.filename and error.strerror:  # the disk's fault, and said in full
        return failed(source, f"{error.filename}: {error.strerror}")
    logging.getLogger("reelsift").exception("Unexpected failure of %s", source)
    return failed(source, f"{type(error).__name__}: {error} (unexpected: `--debug` shows where)")


def failed(source: str, reason: str) -> VideoOutcome:
    """Return the outcome of a source that failed for this reason."""
    return VideoOutcome(source=source, status=FAILED, reason=reason)
