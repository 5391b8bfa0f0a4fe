"""Whether MLflow's pages of a store are there to be opened.

In: a store and a run in it. Out: yes or no. Starts nothing, and imports no MLflow.
"""

import httpx

from tasks.classifier.tracking import LOCAL_UI, TrackingStore
from tasks.classifier.tracking_access import open_client

TIMEOUT_S = 5.0
REALM = 'Basic realm="mlflow"'


def pages_answer(store: TrackingStore, run_id: str) -> bool:
    """Say whether what answers at the store's pages is an MLflow server that has this run.

    At the usual address anything may answer, MLflow with another database too: so it is asked for the run, and is shown
    no password. Where it wants one, that it is MLflow must do; the browser will ask for it.
    """
    if store.is_server:
        return True
    is_anybody = store.ui_url == LOCAL_UI
    try:
        with httpx.Client(base_url=store.ui_url) if is_anybody else open_client(store.ui_url, TIMEOUT_S) as client:
            answer = client.get("/api/2.0/mlflow/runs/get", params={"run_id": run_id}, timeout=TIMEOUT_S)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                return answer.headers.get("www-authenticate") == REALM
            return answer.is_success and answer.json()["run"]["info"]["run_id"] == run_id
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False
