"""What all commands of one call share: the settings, and how flows are run from a terminal."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from conf.environment import CONFIG_VARIABLE, apply_environment
from conf.layers import Layer, config_file
from conf.prefect_server import check_database, check_home, check_named_server, names_a_server
from conf.private_server import PrivateServer, has_private_server, private_server
from conf.settings import Settings, setting_layers, settings_of
from conf.stack_state import join_stack
from reelsift.console import progress_shown
from tasks.contracts.errors import ReelsiftError
from tasks.contracts.files import PRIVATE, write_text
from tasks.contracts.text import has_secrets, inert, without_secrets

if TYPE_CHECKING:
    import logging

    from conf.home import Home
    from tasks.datasets.manifest import Dataset
    from tasks.tracking.promotion import Promotion
    from tasks.tracking.store import TrackingStore

FormT = TypeVar("FormT", bound=BaseModel)


@dataclass
class Session:
    """The options that stand before a command."""

    config: Path | None = None
    home: str | None = None  # as it was typed: an empty one is refused with the settings
    debug: bool = False
    weights: Path | None = None  # no option of the command line: what the demonstration finds beside the checkout

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers of the settings, the last one winning."""
        chosen = {"home": self.home, "weights": self.weights}
        options = {name: str(path) for name, path in chosen.items() if path is not None}
        return setting_layers(self.config, Layer("command line", options) if options else None)

    @cached_property
    def settings(self) -> Settings:
        """The settings in force."""
        return settings_of(self.layers)

    def open_dataset(self, ref: str) -> "Dataset":
        """Open the dataset version that `ref` means."""
        if self.settings.storage is None:  # pyarrow takes a while, which a look at what is here need not wait for
            from tasks.datasets.catalogue import open_dataset

            return open_dataset(self.settings.paths.datasets, ref)
        from tasks.datasets.stored import open_anywhere

        return open_anywhere(self.settings.paths.datasets, ref, self.settings.storage)

    @property
    def store(self) -> "TrackingStore":
        """Where MLflow keeps runs and models."""
        from flows.dataset_requests import store_of

        return store_of(self.settings)

    @property
    def has_prefect_server(self) -> bool:
        """Whether there is a Prefect server to tell; none is started for a look."""
        return bool(os.environ.get("PREFECT_API_URL")) and not has_private_server()

    def run_flow(self, name: str, form: Any) -> Any:  # noqa: ANN401 - each flow has its own form and answer
        """Run the flow `flows.<name>.<name>` in this process, with Prefect at home and progress on stderr."""
        self.prepare_prefect()
        server = None if names_a_server() else self._start_server()
        flow = _imported_flow(name, self.settings.paths.logs)  # takes as long as the server does to start
        if server:
            server.wait()
        with progress_shown(), _secrets_kept_out(form, self.settings.paths.batches) as parameters:
            return flow(parameters)

    def _start_server(self) -> PrivateServer:
        check_database()
        server = private_server(self.settings.paths)
        os.environ.update(server.variables)
        return server

    def prepare_prefect(self) -> None:
        """Set the environment for Prefect, which is imported after this: its server, its home, what it tells here.

        Raises:
            ServerError: a server is named that does not answer.
            ConfigError: the home cannot be written to.
        """
        check_home(self.settings.paths)
        os.environ["REELSIFT_HOME"] = str(self.settings.paths.root)
        if self.config:
            os.environ[CONFIG_VARIABLE] = str(config_file(self.config))
        if not self.has_prefect_server:
            join_stack(self.settings.paths)
        apply_environment(self.settings.paths, quiet=not self.debug)
        if self.has_prefect_server:
            check_named_server()


def announce(home: "Home", promotion: "Promotion", warn: Callable[[str], None]) -> None:
    """Let automations know of a new champion; that it is one, no server's silence changes."""
    from deployments.stack.prefect_api import tell

    try:
        tell(home, promotion.event())
    except ReelsiftError as error:
        warn(f"{promotion.model} is the champion. {error}")


@contextmanager
def _secrets_kept_out(form: FormT, folder: Path) -> Iterator[FormT]:
    """Yield the form with references in the place of passwords: Prefect stores the parameters of a run, and shows them.

    A source becomes a list of one source, in a file that only its owner can read and that goes when the run ends; a
    mirror becomes the setting of this process.
    """
    update: dict[str, Any] = {}
    if has_secrets(getattr(form, "mirror", None) or ""):
        os.environ["REELSIFT_MIRROR"], update["mirror"] = form.mirror, None  # pyright: ignore[reportAttributeAccessIssue]
    with ExitStack() as files:
        for name in ("sources", "videos"):
            sources = getattr(form, name, ())
            if any(map(has_secrets, sources)):
                update[name] = tuple(
                    files.enter_context(_closed_list(each, folder)) if has_secrets(each) else each for each in sources
                )
        yield form.model_copy(update=update)


@contextmanager
def _closed_list(source: str, folder: Path) -> Iterator[str]:
    """Write a list of one source that nobody else can read, and yield how it is named."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"source-{secrets.token_hex(8)}.txt"
    write_text(path, f"{source}\n", mode=PRIVATE)
    try:
        yield f"@{path}"
    finally:
        path.unlink(missing_ok=True)


def _imported_flow(name: str, logs: Path) -> Callable[[Any], Any]:
    """Import a flow, now that the environment is set, and let Prefect's log have a file of its own."""
    import importlib

    flow = getattr(importlib.import_module(f"flows.{name}"), name)
    _log_to_file(logs)
    return flow


LOG_NAME = "reelsift.log"
LARGEST_LOG_BYTES = 10 << 20
KEPT_LOGS = 3  # older files


def _inert_formatter(form: str) -> "logging.Formatter":
    """Return a formatter whose lines a terminal can show as they are: what is logged comes from strangers too."""
    import logging

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return inert(without_secrets(super().format(record)))

    return Formatter(form)


def _log_to_file(folder: Path) -> None:
    """Let Prefect's loggers, and so the runs', write to a file as well."""
    import logging
    from logging.handlers import RotatingFileHandler

    from prefect.logging.configuration import setup_logging

    setup_logging()  # before the handler is added: the first set-up replaces all handlers
    folder.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(
        folder / LOG_NAME, maxBytes=LARGEST_LOG_BYTES, backupCount=KEPT_LOGS, encoding="utf-8"
    )
    handler.setFormatter(_inert_formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger("prefect").addHandler(handler)
