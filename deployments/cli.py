"""The installed command `reelsift`: signals are caught first, then everything else is imported, which takes a while.

In: arguments. Out: what the commands print.
"""

import sys

from flows.commands.signals import catch_signals, leave


def main() -> None:
    """Run a command; a signal that comes while it is being imported ends it as a later one does."""
    catch_signals()
    try:
        from conf.environment import collect_rarely  # noqa: PLC0415 - not before signals are caught

        collect_rarely()
        from deployments.app import main as run  # noqa: PLC0415

        run()
    except BaseException:
        if code := leave():  # whatever an import that was broken off has made of it
            sys.exit(code)
        raise
