"""Where the runs and models of these settings are kept.

In: settings. Out: a `TrackingStore` whose links lead to where MLflow's pages are. Does not open it.
"""

from conf.running_stack import MLFLOW_SERVER, running_part
from conf.settings import Settings
from tasks.classifier.tracking import TrackingStore, tracking_store


def store_of(settings: Settings) -> TrackingStore:
    """Return the store that is set, or the database in the home, which a local stack may be serving."""
    ui_url = settings.tracking.ui_url
    if ui_url is None and settings.tracking.uri is None:
        server = running_part(settings.paths, MLFLOW_SERVER)
        ui_url = server.address if server else None
    return tracking_store(settings.paths.root, settings.tracking.uri, ui_url, settings.tracking.artifacts)
