"""Where the runs and models of these settings are kept.

In: settings. Out: a `TrackingStore` whose links lead to where MLflow's pages are. Does not open it.
"""

import os

from conf.running_stack import MLFLOW_SERVER, credentials_in_force, running_part
from conf.settings import Settings
from tasks.classifier.tracking import TrackingStore, tracking_store
from tasks.classifier.tracking_access import PASSWORD, USERNAME


def store_of(settings: Settings) -> TrackingStore:
    """Return the store that is set, or the database in the home, which a local stack may be serving.

    Where that is the MLflow server of this home's stack, its password is put where MLflow's clients look for one.
    """
    uri, ui_url = settings.tracking.uri, settings.tracking.ui_url
    server = running_part(settings.paths, MLFLOW_SERVER)
    if server and uri in {None, server.address, server.client_url}:
        ui_url = ui_url or server.address
        if credentials := credentials_in_force(settings.paths):
            os.environ.setdefault(USERNAME, credentials.user)
            os.environ.setdefault(PASSWORD, credentials.password)
    return tracking_store(settings.paths.root, uri, ui_url, settings.tracking.artifacts)
