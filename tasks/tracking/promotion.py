"""Which model is the champion, and how that changes.

The reason of each decision is kept as a tag of the version, its figures in a file of the version's run, and the
registry's pages are brought up to date.

Aliases of a name: `challenger` is up for promotion, `champion` is what everything uses, `previous_champion` is
what a rollback returns to.
"""

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from tasks.classifier.config import GateConfig
from tasks.classifier.gate import decide
from tasks.contracts.errors import ModelError
from tasks.contracts.model import FrozenModel
from tasks.datasets.load import Videos
from tasks.tracking.client import MlflowClient, MlflowException, connect, translated
from tasks.tracking.comparison import Judged, labels_of_all
from tasks.tracking.describe import describe
from tasks.tracking.registry import (
    CHALLENGER,
    CHAMPION,
    CHAMPION_SINCE_TAG,
    PREVIOUS_CHAMPION,
    PROMOTED_TAG,
    VERDICT_TAG,
    ModelRow,
    list_models,
    resolve,
    unknown_name,
)
from tasks.tracking.store import TrackingStore

PROMOTED_EVENT = "reelsift.model.promoted"  # deployments/notifications.yaml waits for it
GATE_FILE = "gate.json"  # of a version's run: what the gate said of it last
MOVING_ALIASES = "promotion"  # what only one process of a home does at a time


class Promotion(FrozenModel):
    """The gate's decision on a challenger, and the figures behind it; or a rollback, which nobody judges."""

    model: str = Field(description="the challenger, name/version")
    champion: str | None = Field(description="who was champion before")
    promoted: bool
    reason: str
    forced: bool = False
    gap: float | None = Field(
        default=None,
        description="of the challenger, over all labels that it or the champion knows; None where it was not judged",
    )
    coverage: float | None = Field(
        default=None, description="share of all positives of labels that the challenger knows"
    )
    champion_gap: float | None = None
    champion_coverage: float | None = None
    gain: float | None = None
    interval: tuple[float, float] | None = Field(default=None, description="of the gain")
    lost_labels: tuple[int, ...] = Field(default=(), description="ids of labels that lose more than the gate allows")
    dataset_id: str = Field(description="that it was judged on; of a rollback, that it was trained on")
    split_digest: str | None = None

    def event(self) -> dict[str, Any]:
        """Return what automations hear of a new champion, as Prefect's `emit_event` takes it."""
        resource = {
            "prefect.resource.id": f"reelsift.model.{self.model.replace('/', '.')}",
            "prefect.resource.name": self.model,
        }
        return {"event": PROMOTED_EVENT, "resource": resource, "payload": self.model_dump(mode="json")}


def promote(
    store: TrackingStore,
    reference: str,
    videos: Videos,
    *,
    dataset_id: str,
    gate: GateConfig,
    force: str | None = None,
) -> Promotion:
    """Judge a model and the champion of its name on the same videos, and let the gate decide.

    `force`, the reason for going over the gate's head, makes it champion whatever the gate says; that is recorded.
    Promotions from this home wait for one another.

    Raises:
        UnknownModelError: the reference names nothing.
        ModelError: a model cannot be read, no video matches, or another machine changed the champion meanwhile.
    """
    with store.alone(MOVING_ALIASES):
        challenger = resolve(store, reference)
        champion = _holder(store, challenger.name, CHAMPION)
        if champion and champion.version == challenger.version:
            return _already_champion(champion, dataset_id, videos)
        promotion = _judged(store, challenger, champion, videos, dataset_id, gate, force)
        _check_unchanged(store, challenger.name, champion)
        client = connect(store)
        with translated(store):
            _record(client, challenger, promotion)
            if promotion.promoted:
                _crown(client, challenger, champion)
            describe(client, store, challenger.name, challenger.version)
    return promotion


def best_challenger(store: TrackingStore, name: str, videos: Videos) -> ModelRow:
    """Return the version of `name`, the champion left out, that the gate would put above all the others.

    That is the one of the highest GAP over all labels that one of them knows, the newest of equals. Where the champion
    is the only version, it is returned.

    Raises:
        UnknownModelError: `name` has no version.
        ModelError: a model cannot be read, or no video matches.
    """
    rows = list_models(store, name)
    if not rows:
        raise unknown_name(store, name)
    others = [row for row in rows if CHAMPION not in row.aliases]
    if len(others) < 2:
        return (others or rows)[0]
    judged = [Judged.of(store, row, videos) for row in others]
    label_ids = labels_of_all(judged)
    return max(judged, key=lambda model: model.evaluation(videos, label_ids).gap).row


def rollback(store: TrackingStore, name: str) -> Promotion:
    """Make the previous champion of `name` the champion again, and the other way round.

    Raises:
        UnknownModelError: `name` has no version at all.
        ModelError: there is none to return to.
    """
    if not list_models(store, name):
        raise unknown_name(store, name)
    with store.alone(MOVING_ALIASES):
        champion, previous = _holder(store, name, CHAMPION), _holder(store, name, PREVIOUS_CHAMPION)
        if champion is None or previous is None or champion == previous:
            raise ModelError(
                f"{name} has no previous champion to return to. `reelsift models list` shows its versions."
            )
        client = connect(store)
        with translated(store):
            client.set_model_version_tag(name, str(champion.version), "rolled_back_at", _now())
            client.set_registered_model_alias(name, PREVIOUS_CHAMPION, str(champion.version))
            client.set_model_version_tag(name, str(previous.version), CHAMPION_SINCE_TAG, _now())
            client.set_registered_model_alias(name, CHAMPION, str(previous.version))
            describe(client, store, name)
    return Promotion(
        model=previous.reference,
        champion=champion.reference,
        promoted=True,
        reason=f"Rolled back from {champion.reference}.",
        dataset_id=previous.dataset_id,
    )


def nominate(store: TrackingStore, reference: str) -> ModelRow:
    """Make a model the challenger of its name, e.g. the best of several candidates, and return it.

    A champion stays what it is: it does not challenge itself.

    Raises:
        UnknownModelError: the reference names nothing.
    """
    row = resolve(store, reference)
    if CHAMPION in row.aliases:
        return row
    client = connect(store)
    with translated(store):
        client.set_registered_model_alias(row.name, CHALLENGER, str(row.version))
        describe(client, store, row.name)
    return resolve(store, row.reference)


def _judged(
    store: TrackingStore,
    challenger: ModelRow,
    champion: ModelRow | None,
    videos: Videos,
    dataset_id: str,
    gate: GateConfig,
    force: str | None,
) -> Promotion:
    one = Judged.of(store, challenger, videos)
    other = Judged.of(store, champion, videos) if champion else None
    decision = decide(other.scores if other else None, one.scores, videos, gate)
    figures, champion_figures = one.evaluation(videos), other.evaluation(videos) if other else None
    forced = force is not None and not decision.promote
    return Promotion(
        model=challenger.reference,
        champion=champion.reference if champion else None,
        promoted=decision.promote or forced,
        reason=f"Forced: {force} The gate said: {decision.reason}" if forced else decision.reason,
        forced=forced,
        gap=decision.gain.gap_b if decision.gain else figures.gap,
        coverage=figures.coverage,
        champion_gap=decision.gain.gap_a if decision.gain else None,
        champion_coverage=champion_figures.coverage if champion_figures else None,
        gain=decision.gain.gain if decision.gain else None,
        interval=decision.interval,
        lost_labels=tuple(label.index for label in decision.lost_labels),
        dataset_id=dataset_id,
        split_digest=videos.digest,
    )


def _already_champion(champion: ModelRow, dataset_id: str, videos: Videos) -> Promotion:
    return Promotion(
        model=champion.reference,
        champion=champion.reference,
        promoted=False,
        reason=f"{champion.reference} is the champion already.",
        dataset_id=dataset_id,
        split_digest=videos.digest,
    )


def _holder(store: TrackingStore, name: str, alias: str) -> ModelRow | None:
    return next((row for row in list_models(store, name) if alias in row.aliases), None)


def _check_unchanged(store: TrackingStore, name: str, champion: ModelRow | None) -> None:
    """Refuse to go on where somebody whom the lock does not keep out (on another machine) moved the alias."""
    now = _holder(store, name, CHAMPION)
    if (now and now.version) != (champion and champion.version):
        raise ModelError(
            f"The champion of {name} became {now.reference if now else 'nobody'} while its challenger was judged. "
            f"Try again: `reelsift models promote {name}@{CHALLENGER}`."
        )


def _record(client: MlflowClient, challenger: ModelRow, promotion: Promotion) -> None:
    """Keep what was decided and why, whichever way it went: of the version in short, with its run in full."""
    try:
        client.log_dict(challenger.run_id, promotion.model_dump(mode="json") | {"at": _now()}, GATE_FILE)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # a run that was deleted for good keeps nothing
            raise
    for key, value in {VERDICT_TAG: promotion.reason, PROMOTED_TAG: json.dumps(promotion.promoted)}.items():
        client.set_model_version_tag(challenger.name, str(challenger.version), key, value)


def _crown(client: MlflowClient, challenger: ModelRow, champion: ModelRow | None) -> None:
    """Move the aliases; what a kill leaves half done still has a champion, and the rollback does no harm."""
    name = challenger.name
    if champion:
        client.set_registered_model_alias(name, PREVIOUS_CHAMPION, str(champion.version))
    client.set_model_version_tag(name, str(challenger.version), CHAMPION_SINCE_TAG, _now())
    client.set_registered_model_alias(name, CHAMPION, str(challenger.version))
    if CHALLENGER in challenger.aliases:
        client.delete_registered_model_alias(name, CHALLENGER)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
