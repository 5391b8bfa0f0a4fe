"""The registry of a local store, read from its database file without MLflow."""

import sqlite3
from collections import defaultdict
from contextlib import closing, suppress
from pathlib import Path

from tasks.classifier.registry_version import RegisteredVersion
from tasks.classifier.tracking import TrackingStore
from tasks.classifier.tracking_moved import follow_home
from tasks.contracts.errors import TrackingError

# Alembic's revisions of MLflow's schema for which the queries below were checked against MLflow's client.
KNOWN_SCHEMAS = frozenset({"dc11669786a5"})  # MLflow 3.17.2
BUSY_TIMEOUT_S = 10.0

# 'default' is the workspace of every store that has not asked for several.
VERSIONS = """SELECT name, version, run_id, creation_time FROM model_versions
    WHERE workspace = 'default' AND current_stage != 'Deleted_Internal'"""
TAGS = "SELECT name, version, key, value FROM model_version_tags WHERE workspace = 'default'"
ALIASES = "SELECT name, version, alias FROM registered_model_aliases WHERE workspace = 'default' ORDER BY alias"


def search_database(store: TrackingStore) -> list[RegisteredVersion] | None:
    """Return every model version; none where the file does not exist yet.

    None means that the store is not such a file, or its schema is not one that these queries are for.

    Raises:
        TrackingError: the file is not a database, or stays locked.
    """
    path = store.sqlite_path
    if path is None:
        return None
    if not path.exists():
        return []
    try:
        found = _search(path)
    except sqlite3.Error as error:
        raise TrackingError(f"The registry {path} cannot be read: {error}. Is it MLflow's database?") from error
    with suppress(TrackingError):  # a copy that cannot be written to can still be looked at
        follow_home(store)
    return found


def _search(path: Path) -> list[RegisteredVersion] | None:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)) as database:
        database.execute("BEGIN")  # one snapshot for all queries: an alias may move between two
        if database.execute("SELECT version_num FROM alembic_version").fetchone()[0] not in KNOWN_SCHEMAS:
            return None
        tags: defaultdict[tuple[str, int], dict[str, str]] = defaultdict(dict)
        for name, version, key, value in database.execute(TAGS):
            tags[name, version][key] = value
        aliases: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        for name, version, alias in database.execute(ALIASES):
            aliases[name, version].append(alias)
        return [
            RegisteredVersion(name, version, run_id or "", created, tags[name, version], tuple(aliases[name, version]))
            for name, version, run_id, created in database.execute(VERSIONS)
        ]
