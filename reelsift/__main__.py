"""The console script `reelsift`: it catches signals first, then imports everything else, which takes a while."""

import os
import sys

from reelsift.signals import catch_signals, leave


def main() -> None:
    """Run a command; a signal that arrives during its imports ends it as a later one does."""
    catch_signals()
    # Before pydantic is imported, here and in servers: it would read the metadata of all packages, a tenth of a second.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    try:
        from conf import collect_rarely

        collect_rarely()
        from reelsift.cli import run

        run()
    except BaseException:
        if code := leave():  # the error may be that of an import which the signal interrupted
            sys.exit(code)
        raise


if __name__ == "__main__":
    main()
