"""Who becomes champion, who does not, and the way back."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.classifier.config import GateConfig
from tasks.classifier.fitted import FittedClassifier
from tasks.contracts.errors import ModelError, UnknownModelError
from tasks.tracking.client import connect
from tasks.tracking.promotion import Promotion, nominate, promote, rollback
from tasks.tracking.registry import ModelRow, list_models, resolve
from tasks.tracking.store import TrackingStore
from tests.support.classifiers import DATASET_ID, made_up_videos, registered, trained, untrained

VIDEOS = made_up_videos(seed=1)
GATE = GateConfig(resamples=200)


@pytest.fixture(scope="module")
def good() -> FittedClassifier:
    return trained(epochs=8).classifier


@pytest.fixture(scope="module")
def bad() -> FittedClassifier:
    return untrained(labels=4)


def aliases(store: TrackingStore) -> dict[str, int]:
    return {alias: row.version for row in list_models(store) for alias in row.aliases}


def tags(store: TrackingStore, row: ModelRow) -> dict[str, str]:
    return connect(store).get_model_version(row.name, str(row.version)).tags


def page(store: TrackingStore) -> str:
    return connect(store).get_registered_model("cooking").description or ""


def test_the_first_is_champion_unopposed(store: TrackingStore, bad: FittedClassifier) -> None:
    registered(store, classifier=bad, alias="challenger")
    promotion = promote(store, "challenger", VIDEOS, dataset_id=DATASET_ID, gate=GATE)
    assert promotion.promoted
    assert promotion.champion is None
    assert promotion.gap is not None
    assert aliases(store) == {"champion": 1}


def test_the_better_one_takes_over(
    store: TrackingStore, good: FittedClassifier, bad: FittedClassifier, tmp_path: Path
) -> None:
    registered(store, classifier=bad, alias="champion")
    row = registered(store, classifier=good, alias="challenger")
    promotion = promote(store, "cooking@challenger", VIDEOS, dataset_id=DATASET_ID, gate=GATE)
    assert promotion.promoted
    assert (promotion.model, promotion.champion) == ("cooking/2", "cooking/1")
    assert promotion.gap is not None
    assert promotion.champion_gap is not None
    assert promotion.interval is not None
    assert promotion.gap - promotion.champion_gap == pytest.approx(promotion.gain)
    assert promotion.interval[0] > 0
    assert aliases(store) == {"champion": 2, "previous_champion": 1}
    assert page(store).startswith("**Champion: [cooking/2](#/models/cooking/versions/2)**")
    assert "Compare champion and previous champion" in page(store)
    version = connect(store).get_model_version("cooking", "2")
    assert "- Gate: The challenger is better" in (version.description or "")
    assert resolve(store, "cooking/2").champion_since is not None
    kept = tags(store, row)
    assert kept["gate_reason"] == promotion.reason
    assert kept["gate_promoted"] == "true"
    assert {name for name in kept if name.startswith("gate")} == {"gate_reason", "gate_promoted"}
    judged = json.loads(Path(connect(store).download_artifacts(row.run_id, "gate.json", str(tmp_path))).read_text())
    assert datetime.fromisoformat(judged.pop("at")) <= datetime.now(UTC)
    assert Promotion.model_validate(judged) == promotion
    assert promotion.split_digest == VIDEOS.digest


def test_the_worse_one_does_not(store: TrackingStore, good: FittedClassifier, bad: FittedClassifier) -> None:
    registered(store, classifier=good, alias="champion")
    row = registered(store, classifier=bad, alias="challenger")
    promotion = promote(store, "challenger", VIDEOS, dataset_id=DATASET_ID, gate=GATE)
    assert not promotion.promoted
    assert promotion.reason.startswith("Kept the champion")
    assert "The gate on [cooking/2](#/models/cooking/versions/2): Kept the champion" in page(store)
    assert aliases(store) == {"champion": 1, "challenger": 2}
    assert tags(store, row)["gate_promoted"] == "false"
    assert resolve(store, "cooking/2").verdict == promotion.reason


def test_force_goes_over_the_gate_and_says_so(
    store: TrackingStore, good: FittedClassifier, bad: FittedClassifier
) -> None:
    registered(store, classifier=good, alias="champion")
    row = registered(store, classifier=bad)
    why = 'The old one knows "Cake" too well.'
    promotion = promote(store, "cooking/2", VIDEOS, dataset_id=DATASET_ID, gate=GATE, force=why)
    assert promotion.promoted
    assert promotion.forced
    assert promotion.reason.startswith(f"Forced: {why} The gate said: Kept the champion")
    assert aliases(store) == {"champion": 2, "previous_champion": 1}
    assert tags(store, row)["gate_reason"] == promotion.reason


def test_force_where_the_gate_agrees_is_not_recorded(store: TrackingStore, bad: FittedClassifier) -> None:
    registered(store, classifier=bad)
    promotion = promote(store, "cooking/1", VIDEOS, dataset_id=DATASET_ID, gate=GATE, force="at once")
    assert promotion.promoted
    assert not promotion.forced


def test_the_champion_is_not_judged_against_itself(store: TrackingStore) -> None:
    row = registered(store, alias="champion")
    promotion = promote(store, "champion", VIDEOS, dataset_id=DATASET_ID, gate=GATE)
    assert not promotion.promoted
    assert promotion.reason == "cooking/1 is the champion already."
    assert "gate_reason" not in tags(store, row)


def test_two_at_once_wait_for_one_another(store: TrackingStore, good: FittedClassifier, bad: FittedClassifier) -> None:
    registered(store, classifier=bad, alias="champion")
    for _ in range(2):
        registered(store, classifier=good)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(
            lambda reference: promote(store, reference, VIDEOS, dataset_id=DATASET_ID, gate=GATE),
            ["cooking/2", "cooking/3"],
        )
    winner, loser = (first, second) if first.promoted else (second, first)
    assert winner.promoted
    assert not loser.promoted
    assert (winner.champion, loser.champion) == ("cooking/1", winner.model)
    assert aliases(store) == {"champion": int(winner.model[-1]), "previous_champion": 1}


def test_rollback_and_back_again(store: TrackingStore) -> None:
    registered(store, alias="previous_champion")
    row = registered(store, alias="champion")
    connect(store).update_registered_model("cooking", "Ask Ann before you delete any.")
    back = rollback(store, "cooking")
    assert (back.model, back.champion, back.promoted) == ("cooking/1", "cooking/2", True)
    assert resolve(store, "cooking/1").champion_since is not None
    assert page(store).startswith("Ask Ann before you delete any.\n\n**Champion: [cooking/1]")
    assert aliases(store) == {"champion": 1, "previous_champion": 2}
    assert "rolled_back_at" in tags(store, row)
    assert rollback(store, "cooking").model == "cooking/2"


def test_nothing_to_roll_back_to(store: TrackingStore) -> None:
    registered(store, alias="champion")
    with pytest.raises(ModelError, match=r"cooking has no previous champion.*`reelsift models list`"):
        rollback(store, "cooking")


def test_nomination_moves_the_challenger(store: TrackingStore) -> None:
    registered(store)
    registered(store, alias="challenger")
    assert nominate(store, "cooking/1").aliases == ("challenger",)
    assert "| challenger&emsp; | [cooking/1]" in page(store)
    assert aliases(store) == {"challenger": 1}


def test_a_champion_does_not_challenge_itself(store: TrackingStore) -> None:
    registered(store, alias="champion")
    registered(store, alias="challenger")
    assert nominate(store, "cooking/1").aliases == ("champion",)
    assert aliases(store) == {"champion": 1, "challenger": 2}


def test_unknown_challenger(store: TrackingStore) -> None:
    with pytest.raises(UnknownModelError, match="No model 'challenger'"):
        promote(store, "challenger", VIDEOS, dataset_id=DATASET_ID, gate=GATE)
