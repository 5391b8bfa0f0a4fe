"""Where the runs and models of these settings are kept.

In: settings. Out: a `TrackingStore` whose links lead to where MLflow's pages are. Does not open it.
"""

from contextlib import suppress

from conf.running_stack import MLFLOW_SERVER, read_state
from conf.settings import Settings
from tasks.classifier.tracking import TrackingStore, tracking_store
from tasks.contracts.errors import StackError


def store_of(settings: Settings) -> TrackingStore:
    """Return the store that is set, or the database in the home, which a local stack may be serving."""
    ui_url = settings.tracking.ui_url
    if ui_url is None and settings.tracking.uri is None:
        ui_url = _stack_address(settings)
    return tracking_store(settings.paths.root, settings.tracking.uri, ui_url, settings.tracking.artifacts)


def _stack_address(settings: Settings) -> str | None:
    with suppress(StackError):  # `reelsift status` tells of it; a link needs no more than MLflow's usual address
        state = read_state(settings.paths)
        server = state.part(MLFLOW_SERVER) if state else None
        return server.address if server and server.is_alive else None
    return None
