"""Where files of weights lie, and which of them are here.

In: two folders and a table. Out: a file with its digest, or an error that says where to get it. Does not open it.

A folder that is given (REELSIFT_WEIGHTS) goes first and is used as it is. In the other one a file is held to the
table's digest, or, where its host publishes none, to the digest that it had when it was first fetched.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from tasks.contracts.errors import MissingWeightsError, WeightsError
from tasks.contracts.files import file_digest
from tasks.contracts.media import WeightsRecord
from tasks.contracts.model import FrozenModel
from tasks.weights.config import WeightsEntry


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


@dataclass(frozen=True)
class Weights:
    """A file of weights that is here."""

    path: Path
    record: WeightsRecord


def find_weights(name: str, store: WeightsStore) -> Weights:
    """Return a file of weights.

    Raises:
        MissingWeightsError: it is not here.
        WeightsError: it is not what it should be, or the table has no such name.
    """
    entry = store.entry(name)
    if store.given and (store.given / entry.file_name).is_file():
        return _weights(name, store.given / entry.file_name)
    path = store.folder / entry.file_name
    if not path.is_file():
        raise MissingWeightsError(
            f"No weights {name}: {entry.file_name} is not here. Fetch it with `reelsift weights fetch {name}` (from "
            f"{entry.urls[0]}), or put it by hand into {store.folder}, or into a folder that REELSIFT_WEIGHTS names."
        )
    return _weights(name, path)


def _weights(name: str, path: Path) -> Weights:
    return Weights(path, WeightsRecord(name=name, file_name=path.name, sha256=file_digest(path)))
