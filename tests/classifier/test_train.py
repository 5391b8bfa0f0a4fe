"""Training learns what can be learnt, comes out the same twice, and says what is wrong."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from tasks.classifier.config import PRESETS, ModelKind, TrainConfig
from tasks.classifier.models import build_model
from tasks.classifier.scoring import evaluate
from tasks.classifier.train import AdamW, EpochRecord, TrainingResult, fit
from tasks.contracts.errors import NonFiniteLossError, TrainingError
from tasks.contracts.progress import Progress
from tasks.datasets.load import Videos
from tests.classifier.videos import COOKING, NAMES, OTHERS, made_videos

TRAIN, VALIDATE = made_videos(600, background=0.5), made_videos(300, seed=1, background=0.5)
SMALL = TrainConfig(
    model=ModelKind.GATED,
    use_background=True,
    epochs=6,
    batch_size=64,
    learning_rate=5e-3,
    schedule="cosine",
    weight_decay=0.01,
    ema_decay=0.9,
    members=2,
    hidden_size=32,
    dropout=0.5,
    input_dropout=0.1,
)
CONFIGS = {
    "logistic": PRESETS["logistic"].model_copy(update={"batch_size": 32, "epochs": 10}),
    "moe": PRESETS["moe"].model_copy(update={"batch_size": 32, "epochs": 10}),
    "gated": SMALL,
    "chain": SMALL.model_copy(update={"model": ModelKind.CHAIN, "stages": 2}),
}


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.totals: list[float | None] = []
        self.done = 0.0
        self.stopped: list[str] = []

    def begin(self, what: str, total: float | None, unit: str) -> None:
        assert what in {f"training {kind}" for kind in ModelKind}
        assert unit == "epochs"
        self.totals.append(total)

    def advance(self, what: str, amount: float) -> None:
        assert what.startswith("training ")
        self.done += amount

    def stop(self, what: str, why: str) -> None:
        self.stopped.append(why)


def trained(
    config: TrainConfig,
    *,
    train: Videos = TRAIN,
    validate: Videos = VALIDATE,
    target_label_ids: tuple[int, ...] = (COOKING,),
    progress: Progress | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> TrainingResult:
    return fit(
        train,
        validate,
        label_names=NAMES,
        target_label_ids=target_label_ids,
        config=config,
        dataset_id="ds-0123456789ab",
        progress=progress,
        on_epoch=on_epoch,
    )


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_kind_of_whole_videos_learns(kind: str) -> None:
    result = trained(CONFIGS[kind])
    untrained = trained(CONFIGS[kind].model_copy(update={"epochs": 1, "learning_rate": 1e-9}))
    assert result.metrics["gap_at_20"] > untrained.metrics["gap_at_20"] + 0.1
    assert result.metrics["map"] > 0.6
    assert result.history[-1].loss < result.history[0].loss


def test_what_comes_back_is_what_was_judged() -> None:
    result = trained(SMALL)
    judged = evaluate(result.classifier, VALIDATE)
    assert result.metrics == pytest.approx(
        {
            "gap_at_20": judged.gap,
            "map": judged.map,
            "hit_at_1": judged.hit1,
            "perr": judged.perr,
            "match_ap": judged.match_ap,
        },
        abs=1e-6,
    )
    assert result.metrics["match_ap"] > 0.9
    assert result.classifier.label_ids == tuple(sorted((COOKING, *OTHERS)))
    assert result.classifier.label_names[-1] == f"label {max(OTHERS)}", "a label without a name"
    assert result.classifier.dataset_id == "ds-0123456789ab"
    assert next(result.classifier.module.parameters()).device.type == "cpu"


def test_the_seed_decides() -> None:
    torch.manual_seed(1)
    first = trained(SMALL).classifier.predict(VALIDATE.features)
    state = torch.get_rng_state()
    again = trained(SMALL).classifier.predict(VALIDATE.features)
    assert np.array_equal(first, again)
    assert torch.equal(torch.get_rng_state(), state), "the caller's randomness is its own"
    assert not np.array_equal(
        first, trained(SMALL.model_copy(update={"seed": 1})).classifier.predict(VALIDATE.features)
    )


def test_a_step_is_that_of_pytorchs_own_optimizer() -> None:
    ours, theirs = (build_model(SMALL, 3) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    decay = [
        {"params": [p for n, p in theirs.named_parameters() if n.endswith("weight") is is_weight]}
        for is_weight in (True, False)
    ]
    reference = torch.optim.AdamW([decay[0] | {"weight_decay": 0.1}, decay[1] | {"weight_decay": 0.0}], fused=True)
    optimizer = AdamW(ours, weight_decay=0.1)
    for step in range(4):
        features = torch.from_numpy(TRAIN.features[step * 8 : step * 8 + 8])
        for model in (ours, theirs):
            model.zero_grad()
            model.eval()(features).square().sum().backward()
        optimizer.step(0.01 / (step + 1))
        for group in reference.param_groups:
            group["lr"] = 0.01 / (step + 1)
        reference.step()
    assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


def test_epochs_are_reported_as_they_end() -> None:
    heard, records = Heard(), list[EpochRecord]()
    result = trained(SMALL, progress=heard, on_epoch=records.append)
    assert tuple(records) == result.history
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5, 6]
    assert (heard.totals, heard.done, heard.stopped) == ([6], 6, [])
    assert result.best_epoch == 6, "without patience the last epoch is kept"
    assert result.seconds >= sum(record.seconds for record in records) > 0


def test_patience_keeps_the_best_epoch_and_stops() -> None:
    heard = Heard()
    result = trained(SMALL.model_copy(update={"patience": 2, "epochs": 60, "learning_rate": 0.02}), progress=heard)
    gaps = [record.metrics["gap_at_20"] for record in result.history]
    assert result.best_epoch == 1 + int(np.argmax(gaps))
    assert len(result.history) == result.best_epoch + 2 < 60
    assert (heard.totals, heard.done) == ([60], len(result.history)), "the goal does not move"
    assert heard.stopped == [f"stopped at epoch {len(result.history)} of at most 60: no better for 2"]
    assert evaluate(result.classifier, VALIDATE).gap == pytest.approx(max(gaps), abs=1e-6)


def test_background_is_left_out_where_it_is_not_asked_for() -> None:
    config = CONFIGS["moe"].model_copy(update={"epochs": 2})
    whole, matches = trained(config), trained(config, train=TRAIN.take(TRAIN.is_match))
    assert np.array_equal(whole.classifier.predict(VALIDATE.features), matches.classifier.predict(VALIDATE.features))
    assert whole.classifier.match_index is None
    assert "match_ap" not in whole.metrics


def test_background_that_is_not_there_is_no_mistake() -> None:
    result = trained(SMALL, train=TRAIN.take(TRAIN.is_match))
    assert result.classifier.match_index is None


def test_the_label_asked_for_is_always_learnt() -> None:
    result = trained(CONFIGS["logistic"].model_copy(update={"min_positives": 250}), target_label_ids=(3861, COOKING))
    assert result.classifier.label_ids == (COOKING, 3861)


def test_averaged_weights_are_judged() -> None:
    """With an average that hardly moves, even a wild step leaves the figures almost where they began."""
    still = trained(SMALL.model_copy(update={"ema_decay": 0.999999}))
    assert still.history[-1].metrics["gap_at_20"] == pytest.approx(still.history[0].metrics["gap_at_20"], abs=0.01)
    assert trained(SMALL).metrics["gap_at_20"] > still.metrics["gap_at_20"] + 0.05


def test_a_matching_video_can_count_more() -> None:
    heavier = trained(SMALL.model_copy(update={"match_weight": 50.0})).classifier
    background = VALIDATE.features[~VALIDATE.is_match]
    assert heavier.predict(background)[:, 1].mean() > trained(SMALL).classifier.predict(background)[:, 1].mean()


@pytest.mark.parametrize(
    ("train", "validate", "message"),
    [
        pytest.param(TRAIN.take(~TRAIN.is_match), VALIDATE, r"Only 0 of the \d+ training videos match", id="no-match"),
        pytest.param(made_videos(4), VALIDATE, "Only 4 of the 4 .* min_positives = 5.*dataset build", id="too-few"),
        pytest.param(
            TRAIN, VALIDATE.take(~VALIDATE.is_match), r"None of the \d+ validation videos", id="none-to-judge"
        ),
    ],
)
def test_too_little_to_learn_from(train: Videos, validate: Videos, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        trained(SMALL, train=train, validate=validate)


def test_a_loss_that_is_no_number_stops_and_says_where() -> None:
    bad = dataclasses.replace(TRAIN, features=np.full_like(TRAIN.features, np.nan))
    message = r"gated model became nan at step 1 \(epoch 1, learning rate .*a tenth of 0\.005.*batch_size than 64"
    with pytest.raises(NonFiniteLossError, match=message):
        trained(SMALL, train=bad)


def test_one_bad_video_is_enough() -> None:
    features = TRAIN.features.copy()
    features[0] = np.inf
    bad = dataclasses.replace(TRAIN, features=features)
    with pytest.raises(NonFiniteLossError, match=r"moe model became nan at step \d+ \(epoch 1, learning rate 0\.01\)"):
        trained(CONFIGS["moe"], train=bad)
