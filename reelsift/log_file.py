"""The log of the runs that were started from a terminal.

In: a folder. Out: `reelsift.log` in it, kept small. Does not change what is shown on the screen.
"""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from prefect.logging.configuration import setup_logging

LOG_NAME = "reelsift.log"
LARGEST_BYTES = 10 << 20
KEPT = 3  # older files


def log_to_file(folder: Path) -> None:
    """Let Prefect's loggers, and so the runs', write to a file as well."""
    setup_logging()  # before the handler is added: the first set-up replaces all handlers
    folder.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(folder / LOG_NAME, maxBytes=LARGEST_BYTES, backupCount=KEPT, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger("prefect").addHandler(handler)
