"""A home that was moved or copied: the addresses of files in its MLflow database follow it.

MLflow keeps absolute addresses, so the models of a moved home could not be read, and what was trained in a copy would
be written into the original.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.contracts.errors import TrackingError
from tasks.tracking.store import TrackingStore

BUSY_TIMEOUT_S = 10.0
FILES = "/mlflow/artifacts"  # how the address of a home's files ends
# Where MLflow's tables have addresses of files; one that this version of MLflow has not got is left out.
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow_home(store: TrackingStore) -> None:
    """Let the database say where the files are now, if it is of a home that was elsewhere.

    Addresses outside of any home stay (`tracking.artifacts`), and so do those of another home whose files are there and
    not here: that one's database was copied alone.

    Raises:
        TrackingError: the database cannot be read or changed.
    """
    path = store.sqlite_path
    if path is None or not path.exists():
        return
    try:
        with closing(_open(path, "ro")) as database:
            moved = list(_former_places(database, store))
        if moved:
            with store.alone("tables"), closing(_open(path, "rw")) as database, database:
                for place in _former_places(database, store):
                    _replace(database, place, store)
    except sqlite3.Error as error:
        raise TrackingError(
            f"The addresses of files in {path} cannot be brought up to date with where its home is now: {error}."
        ) from error


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_S)


def _former_places(database: sqlite3.Connection, store: TrackingStore) -> Iterator[str]:
    """Yield the addresses, without a trailing slash, at which the home kept its files before."""
    here = store.files.as_uri()
    for place in sorted({found for address in _addresses(database, "experiments") if (found := _place_of(address))}):
        if place in {here, (store.artifact_root or "").rstrip("/")} or _is_same(place, store.files):
            continue
        below = [address for table in ("runs", "logged_models") for address in _addresses(database, table)]
        files = [address.removeprefix(place) for address in below if address.startswith(f"{place}/")]
        if _any_exists(store.files, files) or not _any_exists(path_of(place), files):
            yield place


def _addresses(database: sqlite3.Connection, table: str) -> list[str]:
    columns = [column for name, column in _columns(database) if name == table]
    # S608: names of `COLUMNS`.
    queries = [f"SELECT DISTINCT {column} FROM {table}" for column in columns]  # noqa: S608
    return [row[0] for query in queries for row in database.execute(query) if row[0]]


def _columns(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    for table, column in COLUMNS:
        if any(row[1] == column for row in database.execute(f"PRAGMA table_info({table})")):
            yield table, column


def _place_of(address: str) -> str | None:
    """Return the part of an address that names the files of some home."""
    before, ending, after = address.rpartition(FILES)
    return before + ending if before.startswith("file:") and after[:1] in {"", "/"} else None


def _is_same(place: str, files: Path) -> bool:
    """Say whether both are one folder, e.g. one of them by a link."""
    try:
        return path_of(place).samefile(files)
    except OSError:
        return False


def path_of(place: str) -> Path:
    """Return the path that a `file:` address means."""
    return Path(unquote(urlsplit(place).path))


def _any_exists(folder: Path, files: list[str]) -> bool:
    return any((folder / unquote(file).lstrip("/")).exists() for file in files)


def _replace(database: sqlite3.Connection, place: str, store: TrackingStore) -> None:
    """Put the files' present address in the place of a former one, and the home's where datasets are named."""
    here = store.files.as_uri()
    for table, column in _columns(database):
        # S608: names of `COLUMNS`.
        database.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",  # noqa: S608
            (here, len(place) + 1, place, len(place) + 1, f"{place}/"),
        )
    former, home = str(path_of(place).parents[1]), str(store.folder.parent)
    sources = database.execute("SELECT DISTINCT dataset_source FROM datasets WHERE dataset_source_type = 'local'")
    for (source,) in sources.fetchall():
        uri = json.loads(source).get("uri", "")
        if uri.startswith(f"{former}/"):
            now = json.dumps({"uri": home + uri.removeprefix(former)})
            database.execute("UPDATE datasets SET dataset_source = ? WHERE dataset_source = ?", (now, source))
