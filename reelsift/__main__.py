"""The console script `reelsift`: it catches signals first, then imports everything else, which takes a while."""

import sys

from reelsift.signals import catch_signals, leave


def main() -> None:
    """Run a command; a signal that arrives during its imports ends it as a later one does."""
    catch_signals()
    try:
        from reelsift.cli import run

        run()
    except BaseException:
        if code := leave():  # the error may be that of an import which the signal interrupted
            sys.exit(code)
        raise


if __name__ == "__main__":
    main()
