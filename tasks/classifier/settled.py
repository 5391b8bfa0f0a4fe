"""Whether a dataset version has had its say in who is champion.

In: a store, the name of a registered model, the id of a dataset version. Out: the champion, where nothing is left to
be done for that version. Reads the registry only, and imports no MLflow unless the registry must.
"""

from tasks.classifier.registry import CHALLENGER, CHAMPION, ModelRow, list_models
from tasks.classifier.tracking import TrackingStore


def settled_champion(store: TrackingStore, name: str, dataset_id: str) -> ModelRow | None:
    """Return the champion of `name`, if the gate has judged a candidate of the version; else None.

    Raises:
        TrackingError: the store cannot be read.
    """
    rows = list_models(store, name)
    champion = next((row for row in rows if CHAMPION in row.aliases), None)
    judged = any(_was_judged(row) for row in rows if row.dataset_id == dataset_id)
    return champion if judged else None


def _was_judged(row: ModelRow) -> bool:
    """Say whether the gate decided on it and what it decided was done.

    A promotion keeps its verdict, then moves the aliases and takes `challenger` away: one that was killed in between
    has the verdict and is the challenger still.
    """
    if CHAMPION in row.aliases or row.promoted is False:
        return True
    return row.promoted is True and CHALLENGER not in row.aliases
