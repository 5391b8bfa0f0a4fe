"""Where files of weights lie, and which of them are here.

In: two folders and a table. Out: a file with its digest, or an error that says where to get it. Does not open it.

A folder that is given (REELSIFT_WEIGHTS) goes first, and its files are used as they are. A file in the other one is
held to the digest that was recorded when it was fetched; what a person put there by hand is used as it is, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from tasks.contracts.errors import MissingWeightsError, WeightsError
from tasks.contracts.media import WeightsRecord
from tasks.contracts.model import FrozenModel
from tasks.shards.space import format_bytes
from tasks.weights.config import WeightsEntry
from tasks.weights.digests import known_digest
from tasks.weights.receipt import read_receipt


class WeightsStore(FrozenModel):
    """Two folders and a table."""

    folder: Path = Field(description="where files are fetched to")
    given: Path | None = Field(default=None, description="a person's own folder, which goes first")
    table: dict[str, WeightsEntry]

    def entry(self, name: str) -> WeightsEntry:
        """Return what is known of a file.

        Raises:
            WeightsError: the table has no such name.
        """
        if name not in self.table:
            raise WeightsError(f"No weights {name!r}; there are {', '.join(self.table)}: `reelsift weights list`.")
        return self.table[name]

    def path(self, name: str) -> Path | None:
        """Return where a file lies, the given folder going first; None where it is not here."""
        file_name = self.entry(name).file_name
        places = (folder / file_name for folder in (self.given, self.folder) if folder)
        return next((path for path in places if path.is_file()), None)


@dataclass(frozen=True)
class Weights:
    """A file of weights that is here."""

    path: Path
    record: WeightsRecord


def find_weights(name: str, store: WeightsStore) -> Weights:
    """Return a file of weights.

    Raises:
        MissingWeightsError: it is not here.
        WeightsError: it is not the file that was fetched, or the table has no such name.
    """
    entry, path = store.entry(name), store.path(name)
    if path is None:
        size = f"{format_bytes(entry.size_bytes)} " if entry.size_bytes else ""
        raise MissingWeightsError(
            f"No weights {name}: {entry.file_name} is not here. Fetch it with `reelsift weights fetch {name}` ({size}"
            f"from {entry.urls[0]}), or {by_hand(entry, store)}"
        )
    digest = known_digest(path, store.folder)
    receipt = read_receipt(path) if path.parent == store.folder else None
    if receipt and receipt.sha256 != digest:
        raise WeightsError(
            f"The weights {path} have sha256 {digest}, but {receipt.sha256} when they were fetched: the file has "
            f"changed. Delete it, and `reelsift weights fetch {name}`."
        )
    return Weights(path, WeightsRecord(name=name, file_name=path.name, sha256=digest))


def by_hand(entry: WeightsEntry, store: WeightsStore) -> str:
    """Return how a person without a connection may have a file here, for a message."""
    source = f"{entry.archive_member} out of its archive" if entry.archive_member else "it"
    folder = f"into {store.folder}, or into a folder that REELSIFT_WEIGHTS names"
    if store.given:
        is_folder = "" if store.given.is_dir() else ", which is no folder"
        folder = f"into {store.folder} or {store.given} (as REELSIFT_WEIGHTS names it{is_folder})"
    return f"put {source} there by hand, as {entry.file_name}, {folder}."


def missing_weights(names: Iterable[str], store: WeightsStore) -> list[str]:
    """Return those of the names whose files are not here.

    Raises:
        WeightsError: the table has no such name.
    """
    return [name for name in names if store.path(name) is None]
