"""Models side by side on the same videos."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tasks.classifier.config import GateConfig
from tasks.classifier.evaluate import evaluation_of
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.scoring import evaluate
from tasks.contracts.errors import UnknownModelError
from tasks.tracking.client import connect
from tasks.tracking.comparison import compare, draw, log_comparison
from tasks.tracking.loading import load_classifier, scores_of
from tasks.tracking.store import TrackingStore
from tests.support.classifiers import DATASET_ID, made_up_videos, registered, trained, untrained

VIDEOS = made_up_videos(seed=1)
GATE = GateConfig(resamples=200)


def test_best_first_with_the_gain_over_the_champion(store: TrackingStore, tmp_path: Path) -> None:
    good = trained(epochs=8).classifier
    rows = [registered(store, classifier=untrained(labels=4), alias="champion"), registered(store, classifier=good)]
    comparison = compare(store, VIDEOS, dataset_id=DATASET_ID, name="cooking", gate=GATE)
    assert [row.model for row in comparison.rows] == ["cooking/2", "cooking/1"]
    best, champion = comparison.rows
    assert comparison.best is best
    expected = evaluate(good, VIDEOS)
    assert (best.gap, best.map, best.hit1, best.perr) == (expected.gap, expected.map, expected.hit1, expected.perr)
    assert champion.aliases == ("champion",)
    assert champion.gain is None
    assert best.gain == pytest.approx(best.gap - champion.gap)
    assert best.interval is not None
    assert best.interval[0] < best.gap - champion.gap < best.interval[1]
    assert comparison.split_digest == VIDEOS.digest
    assert comparison.videos == 120
    assert_kept_with_the_best(store, comparison, rows[1].run_id, tmp_path)


def assert_kept_with_the_best(store: TrackingStore, comparison: object, run_id: str, tmp_path: Path) -> None:
    from tasks.tracking.comparison import Comparison

    assert isinstance(comparison, Comparison)
    url = log_comparison(store, comparison)
    assert url.startswith("http://127.0.0.1:5000/get-artifact?")
    path = parse_qs(urlsplit(url).query)["path"][0]
    folder = Path(connect(store).download_artifacts(run_id, "comparisons", str(tmp_path)))
    assert (folder.parent / path).read_bytes().startswith(b"\x89PNG")
    (kept,) = folder.rglob("comparison.json")
    assert Comparison.model_validate_json(kept.read_bytes()) == comparison


def test_what_a_model_says_is_kept_for_the_next_comparison(
    store: TrackingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is asked again where what was kept is damaged, or where the videos or the weights are others."""
    rows = [registered(store, classifier=trained(epochs=2).classifier, alias="champion"), registered(store)]
    first = compare(store, VIDEOS, dataset_id=DATASET_ID, name="cooking", gate=GATE)
    kept = sorted(store.scores.iterdir())
    assert len(kept) == 2
    with monkeypatch.context() as patched:
        patched.setattr(FittedClassifier, "load", lambda _: pytest.fail("it was asked again"))
        assert compare(store, VIDEOS, dataset_id=DATASET_ID, name="cooking", gate=GATE) == first
    for path in kept:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert compare(store, VIDEOS, dataset_id=DATASET_ID, name="cooking", gate=GATE) == first
    others = made_up_videos(seed=2)
    scores = scores_of(store, rows[0], others)
    assert len(list(store.scores.iterdir())) == 3
    expected = evaluate(load_classifier(store, rows[0]), others)
    assert evaluation_of(scores, others) == expected


def test_named_models_and_the_champion(store: TrackingStore) -> None:
    registered(store, alias="champion")
    registered(store)
    named = registered(store)
    comparison = compare(store, VIDEOS, dataset_id=DATASET_ID, name="cooking", references=["cooking/3"], gate=GATE)
    assert {row.model for row in comparison.rows} == {"cooking/1", "cooking/3"}
    assert named.run_id in comparison.compare_url


def test_without_a_champion_there_is_no_gain(store: TrackingStore) -> None:
    registered(store)
    registered(store)
    comparison = compare(store, VIDEOS, dataset_id=DATASET_ID, name="cooking", gate=GATE)
    assert [row.gain for row in comparison.rows] == [None, None]
    assert len(draw(comparison).axes) == 1


def test_nothing_to_compare(store: TrackingStore) -> None:
    with pytest.raises(UnknownModelError, match=r"no model of 'cooking' at sqlite.*Train one: `reelsift train"):
        compare(store, VIDEOS, dataset_id=DATASET_ID, name="cooking", gate=GATE)


def test_the_link_names_exactly_these_runs(store: TrackingStore) -> None:
    rows = [registered(store), registered(store)]
    comparison = compare(store, VIDEOS, dataset_id=DATASET_ID, name="cooking", gate=GATE)
    page, query = comparison.compare_url.split("?")
    assert page == "http://127.0.0.1:5000/#/compare-runs"
    lists = {key: json.loads(values[0]) for key, values in parse_qs(query).items()}
    assert lists == {"runs": [row.run_id for row in reversed(rows)], "experiments": [rows[0].experiment_id]}
    assert comparison.ui_command == f"mlflow server --host 127.0.0.1 --backend-store-uri {store.uri}"


@pytest.mark.parametrize("changed", ["features", "labels"])
def test_the_digest_tells_videos_apart(changed: str) -> None:
    assert made_up_videos(seed=1).digest == VIDEOS.digest
    other = made_up_videos(seed=1)
    (other.features if changed == "features" else other.label_ids)[-1:] += 1
    assert other.digest != VIDEOS.digest
