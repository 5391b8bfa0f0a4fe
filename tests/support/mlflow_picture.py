"""The picture of MLflow's comparison for the docs: `python -m tests.support.mlflow_picture SLUG FILE.png`.

Serves the home's database as long as it takes.
"""

import sys
from pathlib import Path

from conf.settings import load_settings
from tasks.tracking.registry import list_models
from tasks.tracking.store import TrackingStore, tracking_store
from tests.support.browser import open_chromium
from tests.support.mlflow_pages import compared_runs, mlflow_page, photograph
from tests.support.mlflow_servers import running_mlflow

HEIGHT = 1430  # down to the metrics


def take(slug: str, path: Path) -> None:
    """Photograph the comparison of all models of `slug`."""
    home = load_settings().paths
    with running_mlflow(home) as server, open_chromium() as browser:
        store = tracking_store(home.root, ui_url=server.url)
        with mlflow_page(browser, server.credentials, HEIGHT) as page:
            print(compared_runs(page, _address(store, slug)))
            page.get_by_role("button", name="Parameters").click()  # folds them
            photograph(page, path)


def _address(store: TrackingStore, slug: str) -> str:
    rows = list_models(store, slug)
    return store.compare_url([row.experiment_id for row in rows], [row.run_id for row in rows])


if __name__ == "__main__":
    take(sys.argv[1], Path(sys.argv[2]))
