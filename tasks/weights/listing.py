"""Every file of weights, and whether it is here.

In: a store. Out: one state a file. Does not fetch.
"""

from pathlib import Path
from typing import Literal

from tasks.contracts.errors import WeightsError
from tasks.contracts.model import FrozenModel
from tasks.weights.store import WeightsStore, find_weights


class WeightsState(FrozenModel):
    """A file of weights."""

    name: str
    state: Literal["given", "here", "missing", "damaged"]
    file_name: str
    path: Path | None
    size_bytes: int | None
    sha256: str | None
    is_official: bool | None  # whether it is the very file of the table; None where the table has no digest
    used_for: str
    licence: str
    url: str


def list_weights(store: WeightsStore) -> list[WeightsState]:
    """Return the state of every file in the table, in its order."""
    return [_state(name, store) for name in store.table]


def _state(name: str, store: WeightsStore) -> WeightsState:
    entry, path = store.entry(name), store.path(name)
    state: Literal["given", "here", "missing", "damaged"] = "missing"
    digest = None
    if path:
        state = "given" if path.parent == store.given else "here"
        try:
            digest = find_weights(name, store).record.sha256
        except WeightsError:
            state = "damaged"
    known = entry.sha256 if not entry.archive_member else None
    return WeightsState(
        name=name,
        state=state,
        file_name=entry.file_name,
        path=path,
        size_bytes=path.stat().st_size if path else entry.size_bytes,
        sha256=digest,
        is_official=digest == known if digest and known else None,
        used_for=entry.used_for,
        licence=entry.licence,
        url=entry.urls[0],
    )
