"""Many labels and half precision: what is kept sparse and streamed says the same as whole matrices would."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tasks.classifier.config import PRESETS, GateConfig, ModelKind, TrainConfig
from tasks.classifier.data import examples, multi_hot, sparse_targets
from tasks.classifier.evaluate import evaluation_of
from tasks.classifier.gate import decide
from tasks.classifier.metrics import YouTube8MMetrics
from tasks.classifier.models import Chain, Standard
from tasks.classifier.scoring import evaluate
from tasks.classifier.train import fit
from tasks.contracts.features import YT8M
from tasks.datasets.load import Videos
from tests.classifier.videos import COOKING, made_videos
from tests.support.classifiers import scores_from

LABELS, VIDEOS = 900, 400


def labelled(rows: int = VIDEOS, seed: int = 0) -> Videos:
    """Return videos with up to 30 labels each, some of which stand there twice, as in a careless record."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 31, rows)
    ids = (rng.random(counts.sum()) ** 3 * LABELS).astype(np.int32)
    return Videos(
        video_ids=np.array([f"v{row}" for row in range(rows)], np.object_),
        features=rng.standard_normal((rows, YT8M.size), dtype=np.float32),
        label_offsets=np.concatenate([[0], counts.cumsum()]),
        label_ids=ids,
        is_match=np.ones(rows, np.bool_),
    )


def said(videos: Videos, label_ids: tuple[int, ...], skill: float, seed: int = 0) -> np.ndarray:
    truth = multi_hot(videos, label_ids)
    noise = np.random.default_rng(seed).random(truth.shape)
    return ((noise + skill * truth) / 2).round(3).astype(np.float32)


def test_sparse_targets_are_the_dense_ones() -> None:
    videos, label_ids = labelled(), tuple(range(0, LABELS, 2))
    ragged = np.split(videos.label_ids, videos.label_offsets[1:-1])
    dense = np.array([[label in set(row.tolist()) for label in label_ids] for row in ragged])
    targets = sparse_targets(videos, label_ids)
    rows = torch.from_numpy(np.random.default_rng(1).integers(VIDEOS, size=50))
    assert np.array_equal(targets.dense(rows), dense[rows])
    found = videos.labels_among(label_ids)
    assert np.array_equal(found.per_video, dense.sum(axis=1))
    assert np.array_equal(found.per_label, dense.sum(axis=0))
    assert targets.dense(torch.zeros(0, dtype=torch.int64)).shape == (0, len(label_ids))


def test_figures_of_the_best_pairs_are_those_of_whole_matrices() -> None:
    """Also over labels that the model does not know, and where videos have more labels than GAP looks at pairs."""
    videos, known, judged = labelled(), tuple(range(0, LABELS, 3)), tuple(range(LABELS))
    scores = said(videos, known, 0.8)
    wide = np.full((VIDEOS, LABELS), -np.inf, np.float32)
    wide[:, list(known)] = scores
    whole = YouTube8MMetrics()
    whole.update(torch.from_numpy(wide), torch.from_numpy(multi_hot(videos, judged)))
    expected = whole.compute()
    kept = scores_from(known, np.array_split(scores, 7), videos)
    found = evaluation_of(kept, videos, judged)
    assert (found.gap, found.map, found.hit1, found.perr) == pytest.approx(
        (expected.gap, expected.map, expected.hit_at_1, expected.perr), abs=1e-12
    )
    assert [label.positives for label in found.labels] == multi_hot(videos, known).sum(axis=0).tolist()
    assert kept.pairs.scores_NK.shape == (VIDEOS, 30), "30 of 300 labels, as a video has so many"


def test_the_gate_says_the_same_of_the_best_pairs_alone() -> None:
    videos, label_ids = labelled(), tuple(range(LABELS))
    weak, strong = (scores_from(label_ids, [said(videos, label_ids, skill)], videos) for skill in (0.5, 0.7))
    config = GateConfig(resamples=200, max_ap_loss=1.0)
    decision = decide(weak, strong, videos, config)
    assert decision.promote
    assert decision.gain is not None
    one, other = (replace(scores, pairs=scores.pairs.first(20)) for scores in (weak, strong))
    assert decide(one, other, videos, config).gain == decision.gain


def test_half_precision_learns_the_same_and_is_not_copied() -> None:
    train, validate = made_videos(400), made_videos(200, seed=1)
    halves = [replace(videos, features=videos.features.astype(np.float16)) for videos in (train, validate)]
    shared = examples(halves[0], (COOKING,), torch.device("cpu"), matches_only=True)
    assert shared.features_NF.data_ptr() == halves[0].features.ctypes.data
    config = PRESETS["logistic"].model_copy(update={"epochs": 3, "batch_size": 64})
    options = {"label_names": {}, "target_label_ids": (COOKING,), "config": config, "dataset_id": "ds"}
    whole, half = fit(train, validate, **options), fit(*halves, **options)
    assert half.metrics["gap_at_20"] == pytest.approx(whole.metrics["gap_at_20"], abs=0.005)
    judged = evaluate(half.classifier, halves[1])
    assert judged.gap == pytest.approx(half.metrics["gap_at_20"], abs=1e-6)
    predicted = half.classifier.predict(validate.features)
    assert half.classifier.predict(halves[1].features) == pytest.approx(predicted, abs=1e-3)


def test_features_are_scaled_by_all_rows_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.classifier.models.SCALED_ROWS", 64)
    features = torch.randn(1000, 5, generator=torch.Generator().manual_seed(0)) * 3 + torch.arange(5.0)
    scaling = Standard(5)
    scaling.learn(features)
    assert scaling.mean_F.tolist() == pytest.approx(features.double().mean(dim=0).tolist(), abs=1e-6)
    deviation = features.double().std(dim=0, correction=0)
    assert scaling.factor_F.tolist() == pytest.approx((1 / deviation / 5**0.5).tolist(), rel=1e-6)


def test_a_stage_of_the_chain_sees_what_those_before_it_predicted() -> None:
    torch.manual_seed(0)
    config = TrainConfig(model=ModelKind.CHAIN, stages=3, members=2, hidden_size=8, experts=2)
    model = Chain(4, config)
    features = torch.randn(5, YT8M.size)
    in_training = model.members(features)
    assert in_training.shape == (3 * 2, 5, 4), "each stage of each member has a loss of its own"
    assert (in_training > 0).all()
    assert (in_training < 1).all()
    last = model.eval().members(features)
    assert torch.equal(last, in_training[4:])
    assert torch.allclose(model(features), last.mean(dim=0))
    with torch.no_grad():
        dict(model.stages[0].named_parameters())["expert.bias"][1] += 5  # of the second member alone
    changed = model.members(features)
    assert torch.equal(changed[0], last[0])
    assert not torch.allclose(changed[1], last[1])


@pytest.mark.parametrize("is_equal", [False, True])
@pytest.mark.parametrize("count", [0, 3])
def test_a_stage_of_the_chain_is_its_formula(count: int, is_equal: bool) -> None:
    torch.manual_seed(1)
    config = TrainConfig(model=ModelKind.CHAIN, hidden_size=8, experts=count, equal_modalities=is_equal)
    model = Chain(2, config).eval()
    hidden, norm, expert = (model.get_submodule(f"stages.0.{part}") for part in ("hidden", "norm", "expert"))
    x = torch.randn(4, YT8M.size)
    squares = (576, 576) if is_equal else (1024, 128)  # the sum is 1,152 either way
    parts = [torch.nn.functional.normalize(part) for part in x.split([1024, 128], 1)]
    unit = torch.cat([part * square**0.5 for part, square in zip(parts, squares, strict=True)], 1)
    hidden_1 = torch.nn.functional.gelu(norm(hidden(unit[None])))
    if not count:
        assert torch.allclose(model(x), expert(hidden_1)[0].sigmoid(), atol=1e-6)
        return
    gates = model.get_submodule("stages.0.gate")(hidden_1).reshape(4, 3, 2).exp()
    experts = expert(hidden_1).reshape(4, 3, 2).sigmoid()
    expected = (gates * experts).sum(dim=1) / (1 + gates.sum(dim=1))  # the 1 is the dummy's, whose answer is 0
    assert torch.allclose(model(x), expected, atol=1e-6)


def test_a_mixture_needs_an_expert() -> None:
    with pytest.raises(ValueError, match="experts must be 1 or more"):
        TrainConfig(model=ModelKind.MOE, experts=0)
