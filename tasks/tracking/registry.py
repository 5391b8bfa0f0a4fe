"""The registered models and their metrics; a local registry is read from its database without importing MLflow."""

import hashlib
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, Field

from tasks.contracts.errors import TrackingError, UnknownModelError, did_you_mean
from tasks.contracts.features import YT8M_FEATURE_SPACE
from tasks.contracts.model import FrozenModel
from tasks.tracking.store import SERVER_WITHIN_S, RegisteredVersion, TrackingStore, follow_home, path_of, unpacked

# Alembic's revisions of MLflow's schema for which the queries below were checked against MLflow's client.
KNOWN_SCHEMAS = frozenset({"dc11669786a5"})  # MLflow 3.17.2
BUSY_TIMEOUT_S = 10.0

# 'default' is the workspace of every store that has not asked for several.
VERSIONS = """SELECT name, version, run_id, creation_time FROM model_versions
    WHERE workspace = 'default' AND current_stage != 'Deleted_Internal'"""
TAGS = "SELECT name, version, key, value FROM model_version_tags WHERE workspace = 'default'"
ALIASES = "SELECT name, version, alias FROM registered_model_aliases WHERE workspace = 'default' ORDER BY alias"
FILES = "SELECT storage_location FROM model_versions WHERE workspace = 'default' AND name = ? AND version = ?"


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


def _opened(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S))


def _is_known(database: sqlite3.Connection) -> bool:
    return database.execute("SELECT version_num FROM alembic_version").fetchone()[0] in KNOWN_SCHEMAS


def _search(path: Path) -> list[RegisteredVersion] | None:
    with _opened(path) as database:
        database.execute("BEGIN")  # one snapshot for all queries: an alias may move between two
        if not _is_known(database):
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


CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS_CHAMPION = "previous_champion"

# The tags that this program gives each version, so that one look at the registry answers `models list`.
KIND_TAG = "kind"
DATASET_TAG = "dataset_id"
DATASET_SLUG_TAG = "dataset_slug"
EXPERIMENT_TAG = "experiment_id"
SECONDS_TAG = "train_seconds"
# What it costs beside these; versions of earlier releases do not say.
PARAMETERS_TAG, SPEED_TAG, MEMORY_TAG = "parameters", "train_videos_per_s", "train_peak_mb"
# Figures over the labels that a version itself knows: they compare with no other version's. Earlier releases tagged
# them `gap_at_20` and `map`, which are now the metrics over all labels that one of the compared versions knows.
GAP, MAP = "gap_at_20", "map"
OWN_LABELS = "_own_labels"
OWN_GAP_TAG, OWN_MAP_TAG = GAP + OWN_LABELS, MAP + OWN_LABELS
COVERAGE_TAG = "coverage"
JUDGED_LABELS_TAG = "judged_labels"  # how many of its labels the videos have that it was judged on
LABELS_TAG = "labels"
LABELS_DIGEST_TAG = "labels_digest"  # in the place of these, since they are in a file of the run
REQUIRED_TAGS = frozenset({KIND_TAG, DATASET_TAG, EXPERIMENT_TAG, SECONDS_TAG})
FIGURE_TAGS = (frozenset({OWN_GAP_TAG, OWN_MAP_TAG}), frozenset({GAP, MAP}))  # one of these sets as well
SPLIT_DIGEST_TAG = "split_digest"
VERDICT_TAG = "gate_reason"  # set by promotion, as is the next
PROMOTED_TAG = "gate_promoted"  # what the gate decided, as JSON; whether the alias moved as well, the aliases say
CHAMPION_SINCE_TAG = "champion_since"  # set where it becomes champion, by promotion or rollback
FEATURE_SPACE_TAG = "feature_space"  # by the name that datasets and models carry
TRAINING_TAG = "reelsift_training"  # names one training, however often its logging was tried
FLOW_RUN_TAG = "prefect_flow_run_id"  # of the run that trained it, where Prefect did
FLOW_RUN_URL_TAG = "prefect_flow_run_url"
JSON_BOOLS = {"true": True, "false": False}

TRAIN_HINT = "Train one: `reelsift train --dataset latest`."
REFERENCE = re.compile(r"(?:models:/+)?(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
RUN_ID = re.compile(r"[0-9a-f]{32}")


class ModelRow(FrozenModel):
    """A version of a registered model."""

    name: str = Field(description="the slug of the dataset that it was trained on")
    version: int
    aliases: tuple[str, ...]
    kind: str = Field(description="architecture, e.g. gated")
    gap: float | None = Field(
        description="GAP@20 on the validate split of its own dataset, when it was trained, over all labels that a "
        "version judged on the same videos knows; None where these differ and its coverage is not known"
    )
    map: float | None = Field(description="MAP on the same")
    own_gap: float | None = Field(default=None, description="GAP@20 over the labels that it knows: compares with none")
    own_map: float | None = Field(default=None, description="MAP over these")
    coverage: float | None = Field(default=None, description="share of these videos' positives of labels that it knows")
    seconds: float = Field(description="of training")
    parameters: int | None = Field(default=None, description="that were learnt; None where an earlier release trained")
    videos_per_s: float | None = Field(default=None, description="learnt from, reading them included")
    peak_mb: float | None = Field(default=None, description="memory of training, 10^6 bytes")
    dataset_id: str
    experiment_id: str
    run_id: str
    created_at: AwareDatetime
    split_digest: str | None = Field(
        default=None, description="of the videos that it was judged on when it was trained"
    )
    verdict: str | None = Field(description="what the gate said when it was last up for promotion")
    promoted: bool | None = Field(default=None, description="what the gate decided then")
    champion_since: AwareDatetime | None = Field(default=None, description="when it last became champion")
    feature_space: str = Field(default=YT8M_FEATURE_SPACE, description="what it looks at")
    flow_run_id: str | None = Field(default=None, description="of the run of Prefect's that trained it")
    flow_run_url: str | None = None

    @property
    def reference(self) -> str:
        """What names exactly this version."""
        return f"{self.name}/{self.version}"

    @property
    def dataset(self) -> str:
        """What names exactly the dataset version that it was trained on: slug/id."""
        return f"{self.name}/{self.dataset_id}"

    @classmethod
    def of(cls, found: RegisteredVersion) -> Self:
        """Read a row out of a version's tags."""
        gap, map_ = _own_figure(found.tags, OWN_GAP_TAG, GAP), _own_figure(found.tags, OWN_MAP_TAG, MAP)
        return cls(
            name=found.name,
            version=found.version,
            aliases=found.aliases,
            kind=found.tags[KIND_TAG],
            gap=gap,
            map=map_,
            own_gap=gap,
            own_map=map_,
            seconds=float(found.tags[SECONDS_TAG]),
            parameters=int(parameters) if (parameters := _number(found.tags.get(PARAMETERS_TAG))) else None,
            videos_per_s=_number(found.tags.get(SPEED_TAG)),
            peak_mb=_number(found.tags.get(MEMORY_TAG)),
            dataset_id=found.tags[DATASET_TAG],
            experiment_id=found.tags[EXPERIMENT_TAG],
            run_id=found.run_id,
            created_at=datetime.fromtimestamp(found.created_ms / 1000, UTC),
            split_digest=found.tags.get(SPLIT_DIGEST_TAG),
            verdict=found.tags.get(VERDICT_TAG),
            promoted=JSON_BOOLS.get(found.tags.get(PROMOTED_TAG, "")),
            champion_since=_moment(found.tags.get(CHAMPION_SINCE_TAG)),
            feature_space=found.tags.get(FEATURE_SPACE_TAG, YT8M_FEATURE_SPACE),
            flow_run_id=found.tags.get(FLOW_RUN_TAG) or None,
            flow_run_url=found.tags.get(FLOW_RUN_URL_TAG) or None,
        )


def is_ours(tags: Mapping[str, str]) -> bool:
    """Say whether this program registered the version with these tags."""
    return tags.keys() >= REQUIRED_TAGS and any(tags.keys() >= figures for figures in FIGURE_TAGS)


def _own_figure(tags: Mapping[str, str], name: str, earlier: str) -> float:
    return float(tags[name] if name in tags else tags[earlier])


def dataset_of(tags: Mapping[str, str]) -> str:
    """Return slug/id of the dataset version that a run or model learnt from; the id alone where no slug was kept."""
    return "/".join(filter(None, (tags.get(DATASET_SLUG_TAG), tags.get(DATASET_TAG))))


def labels_digest(labels: str) -> str:
    """Return what tells the labels of one version from those of another, given their list."""
    return hashlib.sha256(labels.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class _TaggedScore:
    """What a version's tags say of its figures, over the labels that it knows."""

    videos: tuple[str, str, str | None]  # name, dataset, digest of the split: which videos it was judged on
    labels: str  # their digest
    coverage: float | None
    judged_labels: int | None

    @classmethod
    def of(cls, found: RegisteredVersion) -> Self:
        tags = found.tags
        coverage, judged_labels = _number(tags.get(COVERAGE_TAG)), _number(tags.get(JUDGED_LABELS_TAG))
        return cls(
            videos=(found.name, tags[DATASET_TAG], tags.get(SPLIT_DIGEST_TAG)),
            labels=tags.get(LABELS_DIGEST_TAG) or labels_digest(tags.get(LABELS_TAG, "")),
            coverage=coverage if judged_labels else None,
            judged_labels=int(judged_labels) if judged_labels else None,
        )

    def knows_as_much_as(self, other: Self) -> bool:
        """Whether both know the same labels; versions of earlier releases have no coverage to tell by."""
        return self.labels == other.labels and (
            self.coverage == other.coverage or None in (self.coverage, other.coverage)
        )


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _on_same_labels(versions: Sequence[RegisteredVersion]) -> list[ModelRow]:
    """Return rows whose figures compare, for all versions that were judged on the same videos.

    When it is trained, a model is judged over its own labels, so one that knows a few easy ones would seem the best.
    Over all labels that one of the models knows, GAP has the positives of all of these for its denominator, and MAP the
    number of these labels. Models of one dataset version learn the labels with at least so many positives, so the one
    with the highest coverage knows all that the others do. The order by GAP is right for any labels: it is that of
    `gap` times `coverage`, the GAP over every label that the videos have.
    """
    judged = [_TaggedScore.of(found) for found in versions]
    groups: defaultdict[tuple[str, str, str | None], list[_TaggedScore]] = defaultdict(list)
    for each in judged:
        groups[each.videos].append(each)
    return [_compared(found, each, groups[each.videos]) for found, each in zip(versions, judged, strict=True)]


def _compared(found: RegisteredVersion, judged: _TaggedScore, group: Sequence[_TaggedScore]) -> ModelRow:
    row = ModelRow.of(found).model_copy(update={"coverage": judged.coverage})
    if all(judged.knows_as_much_as(other) for other in group):
        return row
    if judged.coverage is None or judged.judged_labels is None or row.gap is None or row.map is None:
        return row.model_copy(update={"gap": None, "map": None})
    most = max(other.coverage or 0.0 for other in group)
    most_labels = max(other.judged_labels or 0 for other in group)
    figures = {"gap": row.gap * (judged.coverage / most) if most else 0.0}
    return row.model_copy(update=figures | {"map": row.map * (judged.judged_labels / most_labels)})


def _moment(text: str | None) -> datetime | None:
    """Read a time with its zone out of a tag; anybody may have written something else there."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def list_models(store: TrackingStore, name: str | None = None, *, within_s: float = SERVER_WITHIN_S) -> list[ModelRow]:
    """Return the versions that this program registered, newest first; those of others are left out.

    `import mlflow` alone takes 3 to 4 s, so a local database is read with SQL (3 ms) where its schema is the one
    that this was written for, and a server is asked by its documented REST interface. A database of another
    schema or kind, or a server that wants credentials, is read by MLflow's own client.

    Raises:
        TrackingError: the store cannot be read.
    """
    ours = [found for found in registered_versions(store, within_s=within_s) if is_ours(found.tags)]
    chosen = _on_same_labels([found for found in ours if name in (None, found.name)])
    return sorted(chosen, key=lambda row: (row.created_at, row.version), reverse=True)


def resolve(store: TrackingStore, reference: str, *, others: Iterable[str] = ()) -> ModelRow:
    """Return the one version that a reference names.

    It may be an alias alone where only one model has it (`champion`), `name@alias`, `name/version`, either of
    these after `models:/`, or the id of the run that made it. `others` are names that the caller takes beside these.

    Raises:
        UnknownModelError: there is none, or the alias alone names several.
    """
    rows = list_models(store)
    found = _matching(rows, reference)
    if len(found) == 1:
        return found[0]
    if found:
        choices = ", ".join(sorted(f"{row.name}@{reference}" for row in found))
        raise UnknownModelError(f"{reference!r} names {len(found)} models. Say which: {choices}.")
    hint = _unassigned(rows, reference)
    near = "" if hint else _nearest(rows, reference, others)
    raise UnknownModelError(f"No model {reference!r} at {store.uri}.{near} {_choices(rows)} {hint or TRAIN_HINT}")


def unknown_name(store: TrackingStore, name: str) -> UnknownModelError:
    """Return the error for a slug under which no model is registered."""
    names = sorted({row.name for row in list_models(store)})
    if not names:
        return UnknownModelError(f"No model of {name!r} at {store.uri}. There are none yet. {TRAIN_HINT}")
    return UnknownModelError(
        f"No model of {name!r} at {store.uri}.{did_you_mean(name, names)} There are models of {', '.join(names)}: "
        "`reelsift models list`."
    )


def _unassigned(rows: list[ModelRow], reference: str) -> str:
    """Say how a model becomes what an alias alone asks for, where there are models and none has it."""
    if reference != CHAMPION or not rows:
        return ""
    return (
        f"None is the champion yet: name one of these, or promote the best: `reelsift models promote {rows[0].name}`."
    )


def _nearest(rows: list[ModelRow], reference: str, others: Iterable[str]) -> str:
    """Suggest what is spelt like the reference, if anything is."""
    named = [f"{row.name}@{alias}" for row in rows for alias in row.aliases]
    aliases = [alias for row in rows for alias in row.aliases]
    return did_you_mean(
        reference.removeprefix("models:/"), [*others, *aliases, *named, *(row.reference for row in rows)]
    )


def _matching(rows: list[ModelRow], reference: str) -> list[ModelRow]:
    if RUN_ID.fullmatch(reference):
        return [row for row in rows if row.run_id == reference][:1]
    parts = REFERENCE.fullmatch(reference)
    if parts is None:
        return [row for row in rows if reference in row.aliases]
    named = [row for row in rows if row.name == parts["name"]]
    if parts["alias"]:
        return [row for row in named if parts["alias"] in row.aliases]
    return [row for row in named if row.version == int(parts["version"])]


def _choices(rows: list[ModelRow]) -> str:
    if not rows:
        return "There are none yet."
    aliases = [f"{row.name}@{alias}" for row in rows for alias in row.aliases]
    versions = [row.reference for row in rows]
    shown = [*sorted(aliases), *versions][:12]
    return f"There are: {', '.join(shown)}{', …' if len(aliases) + len(versions) > 12 else ''}."


def champions(store: TrackingStore, *, within_s: float = SERVER_WITHIN_S) -> list[ModelRow]:
    """Return the champion of each registered model, the one first that became it last.

    Raises:
        TrackingError: the store cannot be read.
    """
    rows = [row for row in list_models(store, within_s=within_s) if CHAMPION in row.aliases]
    return sorted(rows, key=lambda row: row.champion_since or row.created_at, reverse=True)


def registered_versions(store: TrackingStore, *, within_s: float = SERVER_WITHIN_S) -> list[RegisteredVersion]:
    """Return every version in the registry, also those of others; a server has so long for each of its answers.

    Raises:
        TrackingError: the store cannot be read.
    """
    # PLC0415: imported where they are needed, for httpx takes 0.2 s, MLflow over 3 s, and a local database neither.
    if store.is_server:
        from tasks.tracking.server import search_server  # noqa: PLC0415

        versions = search_server(store, within_s)
    else:
        versions = search_database(store)
    if versions is None:
        from tasks.tracking.client import search_with_client  # noqa: PLC0415

        versions = search_with_client(store)
    return [replace(each, tags=unpacked(each.tags)) for each in versions]


def files_of(store: TrackingStore, row: ModelRow) -> Path | None:
    """Return the folder of a version's files, where a local store has it on this disk; None where MLflow must be asked.

    Raises:
        TrackingError: the database cannot be read, or its addresses not be brought up to date with a moved home.
    """
    path = store.sqlite_path
    if path is None or not path.exists():
        return None
    follow_home(store)
    try:
        with _opened(path) as database:
            found = database.execute(FILES, (row.name, row.version)).fetchone() if _is_known(database) else None
    except sqlite3.Error as error:
        raise TrackingError(f"The registry {path} cannot be read: {error}. Is it MLflow's database?") from error
    folder = path_of(found[0]) if found and str(found[0]).startswith("file:") else None
    return folder if folder and folder.is_dir() else None


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
