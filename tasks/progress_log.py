"""Who hears of a task's progress: the terminal that started it, else the run's log.

In: the context of a run. Out: a listener for the stage that the task calls. Does not know what is counted.
"""

import logging

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from tasks.contracts.progress import Progress, listener
from tasks.contracts.progress_lines import LineProgress

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
