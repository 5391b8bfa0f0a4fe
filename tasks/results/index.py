"""The index of what was found: names, times and scores of all results, in a DuckDB file that is brought up to date."""

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
from pydantic import ValidationError

from tasks.contracts.errors import OutputError, StorageError
from tasks.contracts.files import locked
from tasks.contracts.media import LABELS, OBJECTS, AnswerKind, LabelsManifest, ObjectsManifest
from tasks.contracts.model import first_fault
from tasks.contracts.progress import Progress, Silent
from tasks.contracts.text import LARGEST_SHOWN

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.storage.object_store import ObjectStore

INDEX_NAME = "found-v1.duckdb"  # another number where the tables are others: an old file is then not read
# DuckDB opens this file and no other, reaches no network, and fetches no code.
CLOSED: dict[str, Any] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "256MB",
    "threads": str(min(4, os.cpu_count() or 1)),
}
TABLES = """
create table folders (folder varchar, stamp varchar);
create table results (
    id integer, place varchar, parent varchar, stamp varchar, kind varchar, folder varchar, title varchar,
    source varchar, ids varchar, made_s double, step_s double, end_s double
);
create table names (id integer, name varchar);
create table spans (
    result integer, name integer, model varchar, track integer, start_s double, end_s double, score double,
    thumbnail varchar
);
create table samples (result integer, name integer, model varchar, time_s double, score float);
"""
KINDS: dict[str, AnswerKind[Any]] = {each.manifest_name: each for each in (LABELS, OBJECTS)}
PREFIX = "videos"  # of results in a store
READ_TOGETHER = 256  # results: what they hold is in memory at one time
AT_ONCE = 8  # results on their way from a disk or a store
UNSETTLED_NS = 2_000_000_000  # a folder that has just changed may change again within a step of the disk's clock
OBJECTS_STEP_S = 1.0  # without tracks, boxes of one class this close are one stretch
ENTER = 0.5  # of a picture, labels from this score on are named, as `LabelOptions.enter` has it


def is_finite(manifest: LabelsManifest | ObjectsManifest) -> bool:
    """Say whether all times and scores are numbers that a video has: a stranger's may be NaN, infinite or huge."""
    numbers = [manifest.video.media.duration_s, manifest.video.media.frame_rate]
    if isinstance(manifest, LabelsManifest):
        for answer in manifest.by_model.values():
            numbers += [number for each in answer.segments for number in (each.start_s, each.end_s, each.score)]
    else:
        numbers += [number for each in manifest.tracks for number in (each.start_s, each.end_s, each.score)]
    return all(number is None or abs(number) <= LARGEST_SHOWN for number in numbers)


class Results(Protocol):
    """A place where results lie in folders, e.g. `clip-2294a64d` with a manifest `clip-2294a64d/labels.json`."""

    def folders(self) -> dict[str, str]:
        """Return every folder with a stamp, which differs once anything in it does; an empty one may."""
        ...

    def manifests(self, folder: str) -> dict[str, str]:
        """Return the place of each manifest in a folder, with a stamp that differs once it does."""
        ...

    def read(self, place: str) -> tuple[bytes, float]:
        """Return a manifest's content, and when it was made, in seconds since 1970."""
        ...

    def read_beside(self, place: str, name: str) -> bytes:
        """Return the content of a file beside a manifest."""
        ...


@dataclass(frozen=True)
class ResultFolders:
    """A folder on the disk with a folder for each video."""

    root: Path

    def folders(self) -> dict[str, str]:
        """List the folders, whose time is that of the last file that came, went or was replaced."""
        settled_ns = time.time_ns() - UNSETTLED_NS
        found = {}
        for entry in os.scandir(self.root) if self.root.is_dir() else ():
            if entry.is_dir(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found[entry.name] = (
                    f"{status.st_mtime_ns:x}-{status.st_ino:x}" if status.st_mtime_ns < settled_ns else ""
                )
        return found

    def manifests(self, folder: str) -> dict[str, str]:
        """Look for both kinds."""
        found = {}
        for name in KINDS:
            with suppress(OSError):  # there is none
                file = (self.root / folder / name).stat()
                if stat.S_ISREG(file.st_mode):  # a pipe may never end
                    found[f"{folder}/{name}"] = f"{file.st_mtime_ns:x}-{file.st_size:x}-{file.st_ino:x}"
        return found

    def read(self, place: str) -> tuple[bytes, float]:
        """Read a manifest from the disk."""
        path = self.root / place
        return path.read_bytes(), path.stat().st_mtime

    def read_beside(self, place: str, name: str) -> bytes:
        """Read a file from the disk."""
        return (self.root / place).with_name(name).read_bytes()


@dataclass(frozen=True)
class ResultBundles:
    """The bundles of an object store, which never change: `clip-2294a64d/labels-8d51c2e1a94be0b1/labels.json`."""

    store: "ObjectStore"

    def folders(self) -> dict[str, str]:
        """List the bundles."""
        from tasks.storage.bundles import bundles_below  # noqa: PLC0415 - imports pyarrow

        keys = (key.removeprefix(f"{PREFIX}/") for key in bundles_below(self.store, PREFIX))
        return {key: "stored" for key in keys if key.count("/") == 1}

    def manifests(self, folder: str) -> dict[str, str]:
        """Return the one that a bundle of labels or objects has."""
        stem = PurePosixPath(folder).name.partition("-")[0]
        return {f"{folder}/{name}": "stored" for name in KINDS if Path(name).stem == stem}

    def read(self, place: str) -> tuple[bytes, float]:
        """Read a manifest from the store, and from the bundle's list when it was made."""
        from tasks.storage.bundles import find_bundle  # noqa: PLC0415 - imports pyarrow

        key, _, name = f"{PREFIX}/{place}".rpartition("/")
        bundle = find_bundle(self.store, key)
        made_s = next((file.modified_s for file in bundle.files if file.name == name), 0.0) if bundle else 0.0
        return self._content(f"{PREFIX}/{place}"), made_s

    def read_beside(self, place: str, name: str) -> bytes:
        """Read a file from the store."""
        return self._content(f"{PREFIX}/{place.rpartition('/')[0]}/{name}")

    def _content(self, key: str) -> bytes:
        content = self.store.read(key)
        if content is None:
            raise StorageError(f"{key} is not in the storage {self.store.uri} any more")
        return content


@contextmanager
def open_index(folder: Path, where: Results, progress: Progress | None = None) -> Iterator[tuple[Any, list[str]]]:
    """Yield a connection to the index, in which all results of a place are, and why some are left out.

    One process at a time has it. An index that cannot be read is made again.

    Args:
        folder: of the index of this place alone; made where it is missing.
        where: where the results lie.
        progress: reports the results that are read: the first time all, and then those that are new.

    Raises:
        OutputError: the index cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / INDEX_NAME
    with locked(folder):
        connection = _connected(path)
        try:
            yield connection, _follow(connection, where, progress or Silent())
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            reason = str(error).splitlines()[0]
            raise OutputError(
                f"{path} cannot be used ({reason}): make room, or delete it, and run it again."
            ) from error
        finally:
            connection.close()


def _connected(path: Path) -> Any:  # noqa: ANN401 - its stubs leave most types open
    """Open the index; one that was cut off, or that this DuckDB cannot read, is begun again."""
    for is_last in (False, True):
        try:
            connection = duckdb.connect(str(path), config=CLOSED)
            connection.execute("set lock_configuration = true")
            if not connection.execute("select * from duckdb_tables()").fetchall():
                connection.execute(f"begin; {TABLES} commit")
        except duckdb.Error as error:
            if is_last:
                raise OutputError(f"{path} cannot be made: {str(error).splitlines()[0]}") from error
            for each in path.parent.glob(f"{path.name}*"):
                each.unlink(missing_ok=True)
        else:
            return connection
    raise AssertionError


def _follow(connection: Any, where: Results, progress: Progress) -> list[str]:  # noqa: ANN401
    """Forget results that are gone or were replaced, take in new ones, and return why some cannot be."""
    before, now = dict(connection.execute("select * from folders").fetchall()), where.folders()
    if before == now:
        return []
    changed = [folder for folder, stamp in now.items() if not stamp or before.get(folder) != stamp]
    left = [*changed, *(before.keys() - now.keys())]
    rows = connection.execute("select place, stamp from results where parent in (select unnest($left))", {"left": left})
    known: dict[str, str] = dict(rows.fetchall())
    found = {place: stamp for folder in changed for place, stamp in where.manifests(folder).items()}
    stale = [place for place, stamp in known.items() if found.get(place) != stamp]
    connection.execute("begin")
    connection.execute("delete from folders where folder in (select unnest($left))", {"left": left})
    _forget(connection, stale)
    connection.execute("commit")
    new = sorted(place for place, stamp in found.items() if known.get(place) != stamp)
    faults = _take_in(connection, where, new, found, progress)
    faulty = {place.rpartition("/")[0] for place in faults}
    settled = [(folder, now[folder]) for folder in changed if now[folder] and folder not in faulty]
    if settled:
        folders, stamps = zip(*settled, strict=True)
        values = {"folders": list(folders), "stamps": list(stamps)}
        connection.execute("insert into folders select unnest($folders), unnest($stamps)", values)
    return [f"{place} {why}" for place, why in faults.items()]


def _take_in(
    connection: Any,  # noqa: ANN401
    where: Results,
    new: Sequence[str],
    stamps: Mapping[str, str],
    progress: Progress,
) -> dict[str, str]:
    """Read new results, some at once, and return why some cannot be read, by their places."""
    if not new:
        return {}
    faults: dict[str, str] = {}
    progress.begin("results indexed", len(new), "results")
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="index") as pool:
        for first in range(0, len(new), READ_TOGETHER):
            places = new[first : first + READ_TOGETHER]
            read = dict(zip(places, pool.map(lambda place: _read(where, place), places), strict=True))
            faults |= {place: each for place, each in read.items() if isinstance(each, str)}
            faults |= _insert_whole(connection, [each for each in read.values() if not isinstance(each, str)], stamps)
            progress.advance("results indexed", len(places))
    return faults


def _forget(connection: Any, places: Sequence[str]) -> None:  # noqa: ANN401
    if not places:
        return
    for table, key in (("spans", "result"), ("samples", "result"), ("results", "id")):
        chosen = "select id from results where place in (select unnest($places))"
        connection.execute(f"delete from {table} where {key} in ({chosen})", {"places": list(places)})  # noqa: S608


Span = tuple[str, str, int | None, float, float, float, str | None]  # name, model, track, start, end, score, thumbnail


@dataclass(frozen=True)
class _Result:
    """One result, as it goes into the index."""

    place: str
    manifest: LabelsManifest | ObjectsManifest
    made_s: float
    spans: list[Span]
    samples: "pa.Table | None"  # name, model, time_s, score

    @property
    def row(self) -> tuple[Any, ...]:
        """Its row among the results, without id and stamp."""
        video, options = self.manifest.video, self.manifest.options
        is_picture, is_labels = video.media.kind == "picture", isinstance(self.manifest, LabelsManifest)
        rate_hz = options.get("rate_hz") if is_labels else None
        step_s = 1 / rate_hz if isinstance(rate_hz, int | float) and rate_hz > 0 else OBJECTS_STEP_S
        ids = " ".join(filter(None, (video.youtube_id, video.yt8m_id)))
        kind, folder = "label" if is_labels else "object", self.place.partition("/")[0]
        end_s = 0.0 if is_picture else video.media.duration_s
        return kind, folder, video.title, video.source, ids, self.made_s, step_s, end_s


def _read(where: Results, place: str) -> "_Result | str":
    """Read a result, or say why that cannot be."""
    import pyarrow as pa  # noqa: PLC0415 - slow, and only what is new needs it

    kind = KINDS[PurePosixPath(place).name]
    try:
        content, made_s = where.read(place)
        manifest = kind.manifest.model_validate_json(content)
        if not is_finite(manifest):
            return "is damaged (a time or a score is no number, or too large)"
        if isinstance(manifest, LabelsManifest):
            return _Result(place, manifest, made_s, _spans_of_labels(manifest), _samples(where, place, manifest))
        samples = None if manifest.tracks else _samples(where, place, manifest)
        return _Result(place, manifest, made_s, _spans_of_objects(manifest), samples)
    except FileNotFoundError:  # replaced or deleted by another process just now
        return "is gone"
    except ValidationError as error:
        return f"is damaged ({first_fault(error)})"
    except (StorageError, OSError, KeyError, ValueError, pa.ArrowException) as error:
        return f"is damaged ({' '.join(str(error).split())[:200]})"


def _spans_of_labels(manifest: LabelsManifest) -> list[Span]:
    spans: list[Span] = []
    for model, answer in manifest.by_model.items():
        if manifest.video.media.kind == "picture":
            spans += [
                (each.name, model, None, 0.0, 0.0, each.score, None) for each in answer.top if each.score >= ENTER
            ]
        spans += [(each.name, model, None, each.start_s, each.end_s, each.score, None) for each in answer.segments]
    return spans


def _spans_of_objects(manifest: ObjectsManifest) -> list[Span]:
    name = manifest.detector.name
    return [
        (each.class_name, name, each.track_id, each.start_s, each.end_s, each.score, _inside(each.thumbnail))
        for each in manifest.tracks
    ]


def _inside(name: str | None) -> str | None:
    """Return the name of a file beside a manifest; None where it leads elsewhere."""
    path = PurePosixPath(name or "/")
    return None if path.is_absolute() or ".." in path.parts else name


def _samples(where: Results, place: str, manifest: LabelsManifest | ObjectsManifest) -> "pa.Table":
    """Return the scores over time: a row for each name at each time."""
    import pyarrow as pa  # noqa: PLC0415 - slow, and only what is new needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    is_labels = isinstance(manifest, LabelsManifest)
    kind, model = (LABELS, manifest.model.name) if is_labels else (OBJECTS, manifest.detector.name)
    content = where.read_beside(place, kind.table_name)
    if manifest.files.get(kind.table_name, hashlib.sha256(content).hexdigest()) != hashlib.sha256(content).hexdigest():
        raise ValueError(f"{kind.table_name} is not the one that it names")
    name, score = ("name", "smoothed") if is_labels else ("class_name", "score")
    several = ["model"] if is_labels and manifest.others else []
    table = pq.read_table(pa.BufferReader(content), columns=["time_s", name, score, *several])
    models = table["model"] if several else pa.array([model] * len(table), pa.string())
    columns = [
        table[name].cast(pa.string()),
        models,
        table["time_s"].cast(pa.float64()),
        table[score].cast(pa.float32()),
    ]
    named = pa.table(columns, names=["name", "model", "time_s", "score"]).drop_null()
    return named if is_labels else _at_each_time(named)


def _at_each_time(boxes: "pa.Table") -> "pa.Table":
    """Return the best box of each name at each time."""
    best = boxes.group_by(["name", "model", "time_s"]).aggregate([("score", "max")])
    return best.rename_columns(["name", "model", "time_s", "score"])


def _insert_whole(connection: Any, results: Sequence[_Result], stamps: Mapping[str, str]) -> dict[str, str]:  # noqa: ANN401
    """Put results into the index, and return which of them no table takes, and why: a number may be too large."""
    import pyarrow as pa  # noqa: PLC0415 - slow, and only what is new needs it

    try:
        _insert(connection, results, stamps)
    except (duckdb.DataError, duckdb.ProgrammingError, pa.ArrowException, OverflowError) as error:
        connection.execute("rollback")
        if len(results) == 1:
            return {results[0].place: f"is damaged ({str(error).splitlines()[0]})"}
        faults: dict[str, str] = {}
        for each in results:
            faults |= _insert_whole(connection, [each], stamps)
        return faults
    return {}


def _insert(connection: Any, results: Sequence[_Result], stamps: Mapping[str, str]) -> None:  # noqa: ANN401
    """Put results into the index, all or none."""
    import pyarrow as pa  # noqa: PLC0415 - slow, and only what is new needs it

    if not results:
        return
    first = connection.execute("select coalesce(max(id) + 1, 0) from results").fetchall()[0][0]
    rows = [
        (number, each.place, each.place.rpartition("/")[0], stamps[each.place], *each.row)
        for number, each in enumerate(results, first)
    ]
    columns = [row[0] for row in connection.execute("select name from pragma_table_info('results')").fetchall()]
    spans = [(number, *span) for number, each in enumerate(results, first) for span in each.spans]
    samples = [
        each.samples.add_column(0, "result", pa.array([number] * len(each.samples), pa.int32()))
        for number, each in enumerate(results, first)
        if each.samples is not None
    ]
    connection.execute("begin")
    _take(connection, "results", pa.table(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))))
    if spans:
        fields = ("result", "name", "model", "track", "start_s", "end_s", "score", "thumbnail")
        _take_named(connection, "spans", pa.table(dict(zip(fields, map(list, zip(*spans, strict=True)), strict=True))))
    if samples:
        _take_named(connection, "samples", pa.concat_tables(samples))
    connection.execute("commit")


def _take(connection: Any, table: str, rows: "pa.Table") -> None:  # noqa: ANN401
    connection.register("taken", rows)
    connection.execute(f"insert into {table} by name select * from taken")  # noqa: S608 - ours
    connection.unregister("taken")


def _take_named(connection: Any, table: str, rows: "pa.Table") -> None:  # noqa: ANN401
    """Put rows into a table, with numbers in the place of their names."""
    connection.register("taken", rows)
    connection.execute(
        "insert into names select (select coalesce(max(id) + 1, 0) from names) + row_number() over () - 1, name from "
        "(select distinct name from taken where name not in (select name from names))"
    )
    connection.execute(
        f"insert into {table} by name select taken.* exclude (name), names.id as name "  # noqa: S608 - ours
        "from taken join names on names.name = taken.name"
    )
    connection.unregister("taken")
