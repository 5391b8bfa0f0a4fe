"""How Prefect writes a log, on a terminal or in a file of a worker: text as it is, none of it an order or a picture."""

import logging

from prefect.logging.handlers import PrefectConsoleHandler

from tasks.contracts.text import inert


class PlainConsoleHandler(PrefectConsoleHandler):
    """Prefect's handler, but for the pictures: it would write a file called `:smiley:.mp4` as another name.

    Prefect makes it by its name, which `conf.environment.home_variables` gives.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, coloured as Prefect does."""
        try:
            self.console.print(inert(self.format(record)), soft_wrap=True, emoji=False)
        except RecursionError:  # as in logging.StreamHandler: https://bugs.python.org/issue36272
            raise
        except Exception:  # noqa: BLE001 - a log that cannot be written ends no run
            self.handleError(record)
