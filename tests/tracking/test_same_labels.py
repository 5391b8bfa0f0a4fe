"""Models that know different labels: no table, alias, text or promotion says otherwise than the gate."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.classifier.config import GateConfig, ModelKind, TrainConfig
from tasks.classifier.data import multi_hot
from tasks.classifier.evaluate import Scores, evaluation_of, labels_of
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.gate import decide
from tasks.classifier.models import build_model
from tasks.classifier.scoring import evaluate
from tasks.classifier.train import EpochRecord, TrainingResult
from tasks.datasets.load import Videos
from tasks.tracking.candidate import Candidate, log_candidate
from tasks.tracking.client import connect
from tasks.tracking.comparison import Comparison, Judged, compare, labels_of_all
from tasks.tracking.promotion import best_challenger, nominate, promote
from tasks.tracking.registry import CHALLENGER, CHAMPION, ModelRow, list_models, resolve
from tasks.tracking.store import FACTS_TAG, TrackingStore, unpacked
from tests.support.classifiers import DATASET_ID, made_up_dataset, scores_from

GATE = GateConfig(resamples=100)
CASES = 40


def made_videos(rng: np.random.Generator, count: int, labels: int) -> Videos:
    """Return matching videos with random labels, some of them rare, and no features worth a look."""
    has = rng.random((count, labels)) < rng.choice([0.02, 0.2, 0.6], labels)
    has[rng.integers(count), rng.integers(labels)] = True
    return Videos(
        video_ids=np.array([f"v{row}" for row in range(count)], np.object_),
        features=np.zeros((count, 1152), np.float32),
        label_offsets=np.concatenate([[0], has.sum(axis=1).cumsum()]).astype(np.int64),
        label_ids=np.nonzero(has)[1].astype(np.int32),
        is_match=np.ones(count, np.bool_),
    )


@dataclass(frozen=True)
class Said(Scores):
    """What is kept of scores, with the scores themselves."""

    scores_NL: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))  # noqa: N815


def made_scores(rng: np.random.Generator, videos: Videos, labels: int) -> Said:
    """Return scores of a random set of labels, more or less right, and often equal."""
    known = tuple(sorted(rng.choice(labels, rng.integers(1, labels + 1), replace=False).tolist()))
    truth = multi_hot(videos, known)
    scores = rng.random(truth.shape) + rng.choice([0, 0.2, 1]) * truth
    rounded = (scores / 2).round(rng.integers(1, 4)).astype(np.float32)
    kept = scores_from(known, np.array_split(rounded, 2), videos)
    return Said(known, kept.label_names, kept.pairs, scores_NL=rounded)


def gap_by_hand(scores: Said, videos: Videos, label_ids: Sequence[int]) -> float:
    """Return GAP@20 over `label_ids` in plain Python; of equal scores the misses come first."""
    truth = [set(videos.label_ids[a:b].tolist()) for a, b in pairwise(videos.label_offsets)]
    pool = []
    for video, row in enumerate(scores.scores_NL.tolist()):
        pairs = [(score, label in truth[video]) for label, score in zip(scores.label_ids, row, strict=True)]
        pool += sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:20]
    hits, total = 0, 0.0
    for place, (_, is_hit) in enumerate(sorted(pool, key=lambda pair: (-pair[0], pair[1])), start=1):
        hits += is_hit
        total += is_hit * hits / place
    return total / max(1, sum(len(labels & set(label_ids)) for labels in truth))


@pytest.mark.parametrize("seed", range(CASES))
def test_the_order_never_contradicts_the_gate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = int(rng.integers(2, 40))
    videos = made_videos(rng, int(rng.integers(3, 60)), labels)
    models = [made_scores(rng, videos, labels) for _ in range(3)]
    union = tuple(sorted({label for scores in models for label in scores.label_ids}))
    figures = [evaluation_of(scores, videos, union).gap for scores in models]
    assert figures == pytest.approx([gap_by_hand(scores, videos, union) for scores in models], abs=1e-12)
    for one, champion in enumerate(models):
        for other, challenger in enumerate(models):
            alone, beside_all = (decide(champion, challenger, videos, GATE, ids) for ids in ((), union))
            assert alone.promote == beside_all.promote
            assert [lost.index for lost in alone.lost_labels] == [lost.index for lost in beside_all.lost_labels]
            assert alone.gain is not None
            assert beside_all.gain is not None
            assert alone.gain.is_above_zero == beside_all.gain.is_above_zero
            assert beside_all.gain.gain == pytest.approx(figures[other] - figures[one], abs=1e-12)
            if alone.gain.is_above_zero:
                assert figures[other] > figures[one]
                assert alone.gain.gap_b > alone.gain.gap_a
            if alone.gain.is_below_zero:
                assert figures[other] < figures[one]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_kept_of_a_training_has_the_order_of_the_gate(seed: int) -> None:
    """GAP over the own labels, times the coverage, is GAP over every label: the order of any comparison."""
    rng = np.random.default_rng(1000 + seed)
    videos = made_videos(rng, 40, 30)
    models = [made_scores(rng, videos, 30) for _ in range(5)]
    kept = [evaluation_of(scores, videos) for scores in models]
    over_all = [evaluation_of(scores, videos, labels_of(videos)).gap for scores in models]
    assert [each.gap * each.coverage for each in kept] == pytest.approx(over_all, abs=1e-12)


def _classifier(label_ids: tuple[int, ...], *, noise: float = 0.0) -> FittedClassifier:
    """Return a logistic model that reads each label from a feature of its own, and `noise` from all of them."""
    config = TrainConfig(model=ModelKind.LOGISTIC)
    module = build_model(config, len(label_ids)).eval()
    weight = dict(module.named_parameters())["linear.weight"].data
    weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(7)) * noise)
    for row, label in enumerate(label_ids):
        weight[row, label] += 4.0
    dict(module.named_parameters())["linear.bias"].data.fill_(-1.0)
    names = tuple(f"label {label}" for label in label_ids)
    return FittedClassifier(module, label_ids, names, config, DATASET_ID)


# One label that every video has is easy; twelve others are work.
LABELS = 13
EASY, ALL = (0,), tuple(range(LABELS))


@pytest.fixture(scope="module")
def videos() -> Videos:
    rng = np.random.default_rng(3)
    has = rng.random((150, LABELS)) < 0.3
    has[:, 0] = True
    features = rng.standard_normal((150, 1152)).astype(np.float32) * 0.02
    features[:, :LABELS] = has + rng.standard_normal(has.shape) * 0.6
    return Videos(
        video_ids=np.array([f"v{row:03d}" for row in range(len(has))], np.object_),
        features=features.astype(np.float32),
        label_offsets=np.concatenate([[0], has.sum(axis=1).cumsum()]).astype(np.int64),
        label_ids=np.nonzero(has)[1].astype(np.int32),
        is_match=np.ones(len(has), np.bool_),
    )


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of a logging, and has no part in any order; test_candidate has it drawn."""
    monkeypatch.setattr("tasks.tracking.candidate.candidate_figures", lambda *_: {})


def logged(store: TrackingStore, folder: Path, videos: Videos, label_ids: tuple[int, ...], noise: float) -> Candidate:
    classifier = _classifier(label_ids, noise=noise)
    figures = evaluate(classifier, videos)
    metrics = {"gap_at_20": figures.gap, "map": figures.map}
    history = (EpochRecord(1, 1.0, 0.1, 0.1, metrics),)
    return log_candidate(store, TrainingResult(classifier, history, metrics, 0.1, 1), made_up_dataset(folder), videos)


def test_a_model_of_one_easy_label_wins_nowhere(store: TrackingStore, tmp_path: Path, videos: Videos) -> None:
    client = connect(store)
    easy = logged(store, tmp_path, videos, EASY, 0.0)
    assert "GAP@20 1.0000" in str(client.get_model_version("cooking", "1").description)
    strong = logged(store, tmp_path, videos, ALL, 0.0)
    weak = logged(store, tmp_path, videos, ALL, 3.0)
    assert easy.metrics["gap_at_20"] == 1.0 > strong.metrics["gap_at_20"] > weak.metrics["gap_at_20"]
    assert resolve(store, CHALLENGER).reference == strong.reference

    shown = {row.reference: row for row in list_models(store)}
    compared = compare(store, videos, dataset_id=DATASET_ID, name="cooking", gate=GATE)
    assert [row.model for row in compared.rows] == [strong.reference, weak.reference, easy.reference]
    assert compared.labels == LABELS
    for row in compared.rows:
        assert (shown[row.model].gap, shown[row.model].map) == pytest.approx((row.gap, row.map), abs=1e-12)
        assert shown[row.model].coverage == pytest.approx(row.coverage)
        run = client.get_run(row.run_id).data.metrics
        assert (run["gap_at_20"], run["map"]) == pytest.approx((row.gap, row.map), abs=1e-12)
    assert client.get_run(easy.run_id).data.metrics["gap_at_20_own_labels"] == 1.0

    now = shown[easy.reference]
    page = str(client.get_model_version("cooking", "1").description)
    assert f"GAP@20 {now.gap:.4f}, MAP {now.map:.4f}, coverage {now.coverage:.4f} on" in page, (
        "others know more than it"
    )

    assert promote(store, easy.reference, videos, dataset_id=DATASET_ID, gate=GATE).promoted  # nobody stood against it
    best = best_challenger(store, "cooking", videos)
    assert best.reference == strong.reference
    promotion = promote(store, best.reference, videos, dataset_id=DATASET_ID, gate=GATE)
    assert promotion.promoted
    assert promotion.champion_coverage == pytest.approx(compared.rows[2].coverage)
    again = compare(store, videos, dataset_id=DATASET_ID, name="cooking", gate=GATE)
    assert again.best.aliases == (CHAMPION,)
    for row in again.rows[1:]:
        assert row.gain == pytest.approx(row.gap - again.best.gap)
        assert row.interval is not None
        assert row.interval[1] < 0


def test_versions_of_earlier_releases_have_no_coverage(store: TrackingStore, tmp_path: Path, videos: Videos) -> None:
    old, new = logged(store, tmp_path, videos, EASY, 0.0), logged(store, tmp_path, videos, ALL, 0.0)
    client = connect(store)
    as_earlier_releases_did(store, old)
    for tag in ("coverage", "judged_labels"):
        client.delete_model_version_tag("cooking", str(old.version), tag)
    assert resolve(store, old.reference).gap is None, "1.0000 over its one label compares with nothing"
    assert resolve(store, new.reference).gap == new.metrics["gap_at_20"]
    client.delete_model_version("cooking", str(new.version))
    assert resolve(store, old.reference).gap == old.metrics["gap_at_20"], "alone it stands for itself"


def test_the_best_of_random_models_is_never_beaten(store: TrackingStore, tmp_path: Path, videos: Videos) -> None:
    rng = np.random.default_rng(1)
    for _ in range(3):
        known = tuple(sorted(rng.choice(LABELS, rng.integers(1, LABELS + 1), replace=False).tolist()))
        logged(store, tmp_path, videos, known, float(rng.choice([0.0, 1.0, 3.0])))
    oldest = min(list_models(store), key=lambda row: row.version)
    as_earlier_releases_did(store, oldest)
    nominate(store, oldest.reference)  # whatever moves an alias brings its run up to date
    nominate(store, best_challenger(store, "cooking", videos).reference)
    best = best_challenger(store, "cooking", videos)
    compared = compare(store, videos, dataset_id=DATASET_ID, name="cooking", gate=GATE)
    assert best.reference == compared.best.model
    check_what_mlflow_shows(store, compared)
    assert best.reference == _first(list_models(store)).reference == resolve(store, CHALLENGER).reference
    judged = [Judged.of(store, row, videos) for row in list_models(store)]
    champion = next(model for model in judged if model.row.reference == best.reference)
    for model in judged:
        assert not decide(champion.scores, model.scores, videos, GATE, labels_of_all(judged)).promote


def as_earlier_releases_did(store: TrackingStore, model: ModelRow | Candidate) -> None:
    """Name a version's figures over its own labels `gap_at_20` and `map`, in its tags and in its run."""
    client = connect(store)
    tags = unpacked(client.get_model_version(model.name, str(model.version)).tags)
    del tags[FACTS_TAG]
    client.delete_model_version_tag(model.name, str(model.version), FACTS_TAG)
    for name, value in tags.items():
        client.set_model_version_tag(model.name, str(model.version), name.removesuffix("_own_labels"), value)
        if name in {"gap_at_20_own_labels", "map_own_labels"}:
            client.log_metric(model.run_id, name.removesuffix("_own_labels"), float(value), step=1)


def check_what_mlflow_shows(store: TrackingStore, compared: Comparison) -> None:
    """Its table of runs, sorted by what it calls GAP, is the gate's order; and no other figure is called so."""
    client = connect(store)
    experiment_ids = [compared.best.experiment_id]
    runs = client.search_runs(experiment_ids, order_by=["metrics.gap_at_20 DESC"])
    assert runs[0].info.run_id == compared.best.run_id
    figures = {run.info.run_id: run.data.metrics for run in runs}
    expected = [row.gap / compared.best.gap for row in compared.rows]
    shown = [figures[row.run_id]["gap_at_20"] / figures[compared.best.run_id]["gap_at_20"] for row in compared.rows]
    assert shown == pytest.approx(expected, abs=1e-12)
    assert shown == sorted(shown, reverse=True)
    rows = {row.run_id: row for row in list_models(store)}
    for run_id, metrics in figures.items():
        named = {name for name in metrics if re.search("gap|map|perr", name)}
        own = {name for name in named if name.endswith("_own_labels")}
        assert named - own == {"gap_at_20", "map"}
        assert own >= {"gap_at_20_own_labels", "map_own_labels"}
        assert metrics["gap_at_20"] == rows[run_id].gap
        assert metrics["gap_at_20_own_labels"] == rows[run_id].own_gap
        assert metrics["coverage"] == rows[run_id].coverage


def _first(rows: Sequence[ModelRow]) -> ModelRow:
    return max(rows, key=lambda row: -math.inf if row.gap is None else row.gap)
