"""The registered models and how one of them is named.

In: a `TrackingStore` and a reference such as `champion`, `cooking@challenger` or `cooking/3`. Out: rows.
Does not import MLflow unless it must (see `list_models`); knows nothing of weights.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Self

from pydantic import AwareDatetime, Field

from tasks.classifier.registry_sqlite import search_database
from tasks.classifier.registry_version import RegisteredVersion
from tasks.classifier.tracking import TrackingStore
from tasks.contracts.errors import UnknownModelError
from tasks.contracts.model import FrozenModel

CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS_CHAMPION = "previous_champion"

# The tags that this program gives each version, so that one look at the registry answers `models list`.
KIND_TAG = "kind"
DATASET_TAG = "dataset_id"
DATASET_SLUG_TAG = "dataset_slug"
EXPERIMENT_TAG = "experiment_id"
SECONDS_TAG = "train_seconds"
GAP_TAG = "gap_at_20"
MAP_TAG = "map"
REQUIRED_TAGS = frozenset({KIND_TAG, DATASET_TAG, EXPERIMENT_TAG, SECONDS_TAG, GAP_TAG, MAP_TAG})
SPLIT_DIGEST_TAG = "split_digest"
VERDICT_TAG = "gate_reason"  # set by promotion, as is the next
PROMOTED_TAG = "gate_promoted"  # what the gate decided, as JSON; whether the alias moved as well, the aliases say
CHAMPION_SINCE_TAG = "champion_since"  # set where it becomes champion, by promotion or rollback
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
    gap: float = Field(description="GAP@20 on the validate split of its own dataset, when it was trained")
    map: float = Field(description="MAP on the same")
    seconds: float = Field(description="of training")
    dataset_id: str
    experiment_id: str
    run_id: str
    created_at: AwareDatetime
    verdict: str | None = Field(description="what the gate said when it was last up for promotion")
    promoted: bool | None = Field(default=None, description="what the gate decided then")
    champion_since: AwareDatetime | None = Field(default=None, description="when it last became champion")
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
        return cls(
            name=found.name,
            version=found.version,
            aliases=found.aliases,
            kind=found.tags[KIND_TAG],
            gap=float(found.tags[GAP_TAG]),
            map=float(found.tags[MAP_TAG]),
            seconds=float(found.tags[SECONDS_TAG]),
            dataset_id=found.tags[DATASET_TAG],
            experiment_id=found.tags[EXPERIMENT_TAG],
            run_id=found.run_id,
            created_at=datetime.fromtimestamp(found.created_ms / 1000, UTC),
            verdict=found.tags.get(VERDICT_TAG),
            promoted=JSON_BOOLS.get(found.tags.get(PROMOTED_TAG, "")),
            champion_since=_moment(found.tags.get(CHAMPION_SINCE_TAG)),
            flow_run_id=found.tags.get(FLOW_RUN_TAG) or None,
            flow_run_url=found.tags.get(FLOW_RUN_URL_TAG) or None,
        )


def dataset_of(tags: Mapping[str, str]) -> str:
    """Return slug/id of the dataset version that a run or model learnt from; the id alone where no slug was kept."""
    return "/".join(filter(None, (tags.get(DATASET_SLUG_TAG), tags.get(DATASET_TAG))))


def _moment(text: str | None) -> datetime | None:
    """Read a time with its zone out of a tag; anybody may have written something else there."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def list_models(store: TrackingStore, name: str | None = None) -> list[ModelRow]:
    """Return the versions that this program registered, newest first; those of others are left out.

    `import mlflow` alone takes 3 to 4 s, so a local database is read with SQL (3 ms) where its schema is the one
    that this was written for, and a server is asked by its documented REST interface. A database of another
    schema or kind, or a server that wants credentials, is read by MLflow's own client.

    Raises:
        TrackingError: the store cannot be read.
    """
    ours = [ModelRow.of(found) for found in registered_versions(store) if found.tags.keys() >= REQUIRED_TAGS]
    chosen = [row for row in ours if name in (None, row.name)]
    return sorted(chosen, key=lambda row: (row.created_at, row.version), reverse=True)


def resolve(store: TrackingStore, reference: str) -> ModelRow:
    """Return the one version that a reference names.

    It may be an alias alone where only one model has it (`champion`), `name@alias`, `name/version`, either of
    these after `models:/`, or the id of the run that made it.

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
    raise UnknownModelError(f"No model {reference!r} at {store.uri}. {_choices(rows)}")


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
        return f"There are none yet. {TRAIN_HINT}"
    aliases = [f"{row.name}@{alias}" for row in rows for alias in row.aliases]
    versions = [row.reference for row in rows]
    shown = [*sorted(aliases), *versions][:12]
    return f"There are: {', '.join(shown)}{', …' if len(aliases) + len(versions) > 12 else ''}. {TRAIN_HINT}"


def registered_versions(store: TrackingStore) -> list[RegisteredVersion]:
    """Return every version in the registry, whoever registered it.

    Raises:
        TrackingError: the store cannot be read.
    """
    # PLC0415: imported where they are needed, for httpx takes 0.2 s, MLflow over 3 s, and a local database neither.
    if store.is_server:
        from tasks.classifier.registry_rest import search_server  # noqa: PLC0415

        versions = search_server(store)
    else:
        versions = search_database(store)
    if versions is not None:
        return versions
    from tasks.classifier.registry_client import search_with_client  # noqa: PLC0415

    return search_with_client(store)
