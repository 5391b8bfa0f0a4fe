"""Where runs and models are kept, how that follows a home which moves, and the addresses for a browser."""

import fcntl
import json
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlencode, urlsplit

from pydantic import Field

from tasks.contracts.errors import TrackingError
from tasks.contracts.files import sqlite_path, sqlite_uri
from tasks.contracts.model import FrozenModel

LOCAL_UI = "http://127.0.0.1:5000"  # where `mlflow server` listens unless told otherwise
SERVER_WITHIN_S = 10.0  # that a server has for each of its answers about models
SQL_PREFIXES = ("sqlite", "postgresql", "mysql", "mssql")
HTTP_PREFIXES = ("http://", "https://")
# Of a database that is used, one of these tables is not empty.
ANY_ROW = (
    "SELECT EXISTS (SELECT 1 FROM experiments) OR EXISTS (SELECT 1 FROM runs)"
    " OR EXISTS (SELECT 1 FROM registered_models)"
)
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


class TrackingStore(FrozenModel):
    """An MLflow tracking store, which is its model registry as well."""

    uri: str = Field(description="sqlite:///…, another database, or the http(s) address of a server")
    artifact_root: str | None = Field(description="URI below which new experiments keep files; None: the server's")
    folder: Path = Field(description="local folder of the locks and of a local store")
    ui_url: str = Field(description="address of MLflow's pages, without a trailing slash")

    @property
    def is_server(self) -> bool:
        """Whether an MLflow server answers at the URI."""
        return self.uri.startswith(HTTP_PREFIXES)

    @property
    def sqlite_path(self) -> Path | None:
        """The database file, where the store is one."""
        return sqlite_path(self.uri)

    @property
    def has_tables(self) -> bool:
        """Whether the database was made to its end; True also of one that is no file of ours, or cannot be read.

        MLflow's migrations are many transactions, and the last one adds the first experiment.
        """
        path = self.sqlite_path
        if path is None:
            return True
        if not path.exists():
            return False
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                return bool(database.execute(ANY_ROW).fetchone()[0])
        except sqlite3.OperationalError as error:
            return "no such table" not in str(error)
        except sqlite3.Error:
            return True

    @property
    def files(self) -> Path:
        """The folder of the home in which a local store keeps files, unless told otherwise."""
        return self.folder / "artifacts"

    @property
    def kept(self) -> Path:
        """The folder of finished trainings that MLflow has not got yet."""
        return self.folder / "kept"

    @property
    def scores(self) -> Path:
        """The folder of what models of a local store have said of videos."""
        return self.folder / "scores"

    @property
    def notes(self) -> Path:
        """The folder of notes, one a training, that name the candidate which it became."""
        return self.folder / "candidates"

    @property
    def ui_command(self) -> str | None:
        """The command that serves MLflow's pages of this store at `ui_url`; None where the store is a server."""
        if self.is_server:
            return None
        port = urlsplit(self.ui_url).port
        elsewhere = ["--port", str(port)] if port and self.ui_url != LOCAL_UI else []
        return shlex.join(["mlflow", "server", "--host", "127.0.0.1", *elsewhere, "--backend-store-uri", self.uri])

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Wait until nobody else on this home does `what`, then keep others out.

        The kernel lets go of the lock when its holder dies.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{what}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def run_url(self, experiment_id: str, run_id: str) -> str:
        """Return the address of a run's page."""
        return f"{self.ui_url}/{run_page(experiment_id, run_id)}"

    def runs_url(self, experiment_id: str) -> str:
        """Return the address of the runs of an experiment, with their GAP, MAP and match AP plotted."""
        return f"{self.ui_url}/{runs_page(experiment_id)}"

    def registry_url(self, name: str) -> str:
        """Return the address of a registered model's page, which shows the champion and the challenger."""
        return f"{self.ui_url}/{registry_page(name)}"

    def model_url(self, name: str, version: int) -> str:
        """Return the address of a model version's page."""
        return f"{self.ui_url}/{version_page(name, version)}"

    def compare_url(self, experiment_ids: list[str], run_ids: list[str]) -> str:
        """Return the address of MLflow's comparison of exactly these runs."""
        return f"{self.ui_url}/{comparison_page(experiment_ids, run_ids)}"

    def artifact_url(self, run_id: str, path: str) -> str:
        """Return the address at which MLflow serves a file of a run, e.g. a picture."""
        return f"{self.ui_url}/get-artifact?{urlencode({'path': path, 'run_uuid': run_id})}"


def run_page(experiment_id: str, run_id: str) -> str:
    """Return the page of a run within MLflow's pages: a fragment, so as a link it works wherever these are served."""
    return f"#/experiments/{experiment_id}/runs/{run_id}"


RUNS_VIEW = "reelsift"  # what `tasks.tracking.describe` calls the charts that it gives an experiment


def runs_page(experiment_id: str) -> str:
    """Return the page of an experiment's runs beside the charts that this program chose.

    The form is that of MLflow 3's own button "Share"; what it shares is a tag of the experiment.
    """
    asked = {"viewStateShareKey": RUNS_VIEW, "compareRunsMode": "CHART", "workflowType": "machine_learning"}
    return f"#/experiments/{experiment_id}/runs?{urlencode(asked)}"


def registry_page(name: str) -> str:
    """Return the page of a registered model."""
    return f"#/models/{quote(name, safe='')}"


def version_page(name: str, version: int) -> str:
    """Return the page of a model version."""
    return f"{registry_page(name)}/versions/{version}"


def comparison_page(experiment_ids: Iterable[str], run_ids: Sequence[str]) -> str:
    """Return the page that compares exactly these runs.

    The form is that of `getCompareRunPageRoute` in MLflow 3's pages: two JSON lists in the fragment's query.
    """
    lists = {"runs": list(run_ids), "experiments": sorted(set(experiment_ids))}
    query = urlencode({key: json.dumps(values, separators=(",", ":")) for key, values in lists.items()})
    return f"#/compare-runs?{query}"


def tracking_store(
    home: Path, uri: str | None = None, ui_url: str | None = None, artifacts: str | None = None
) -> TrackingStore:
    """Return the store at `uri`, or by default a database and files below `home`/mlflow.

    `ui_url` is where browsers find the pages, if that is neither a server's own address nor MLflow's usual one.
    `artifacts` is where new experiments of a database keep their files, if not below the home; a server decides itself.

    Raises:
        TrackingError: MLflow cannot keep a registry at such an address.
    """
    folder = home.absolute() / "mlflow"
    address = (uri or sqlite_uri(folder / "mlflow.db")).rstrip("/")
    if not address.startswith(HTTP_PREFIXES + SQL_PREFIXES):
        raise TrackingError(
            f"No MLflow store can be at {address!r}: it must begin with one of "
            f"{', '.join(HTTP_PREFIXES + SQL_PREFIXES)}. Leave it out for a local one at {folder}."
        )
    is_server = address.startswith(HTTP_PREFIXES)
    if is_server and "@" in urlsplit(address).netloc:
        raise TrackingError(
            f"The address of MLflow at {urlsplit(address).hostname} holds a password, and would be shown in links and "
            "runs. Leave that out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    return TrackingStore(
        uri=address,
        artifact_root=None if is_server else artifacts or (folder / "artifacts").as_uri(),
        folder=folder,
        ui_url=(ui_url or (address if is_server else LOCAL_UI)).rstrip("/"),
    )


FACTS_TAG = "reelsift"  # of a version: what lists of models read, as JSON in one tag, where nobody has to look at it


def packed(shown: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a version: those that a person looks for, and one that holds the other facts."""
    return {**shown, FACTS_TAG: json.dumps(facts, sort_keys=True)}


def unpacked(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a version with the facts that one of them holds; earlier releases had a tag for each."""
    try:
        facts = json.loads(tags.get(FACTS_TAG, "{}"))
    except ValueError:  # somebody wrote something else there
        facts = {}
    return {**({name: str(value) for name, value in facts.items()} if isinstance(facts, dict) else {}), **tags}


@dataclass(frozen=True)
class RegisteredVersion:
    """A model version as the registry holds it, with the aliases that point to it in the order of the alphabet."""

    name: str
    version: int
    run_id: str
    created_ms: int
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


def follow_home(store: TrackingStore) -> None:
    """Let the database say where the files are now, if it is of a home that was moved or copied.

    MLflow keeps absolute addresses, so the models of a moved home could not be read, and what was trained in a copy
    would be written into the original.

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
