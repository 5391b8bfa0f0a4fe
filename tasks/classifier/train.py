"""Videos of a dataset version to a fitted classifier.

In: training and validation videos, a config. Out: the classifier at its best epoch, with what every epoch
measured. Does not know of registries, files or where the videos came from.

Shapes: B videos of a batch, F features, L labels, O outputs (L, or L + 1 with the match).
"""

# ruff: noqa: N806 - capitals at the end of a tensor's name are its axes, as in the legend above.

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import nn

from tasks.classifier.config import TrainConfig
from tasks.classifier.data import Examples, chosen_device, examples, kept_labels
from tasks.classifier.evaluate import JUDGED_ROWS, match_average_precision
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.metrics import YouTube8MMetrics
from tasks.classifier.models import build_model
from tasks.classifier.trainer import Trainer
from tasks.contracts.errors import TrainingError
from tasks.contracts.progress import Progress, Silent, stop
from tasks.datasets.load import Videos


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch measured. The metrics are of the averaged weights, on the validation videos."""

    epoch: int  # from 1
    loss: float  # mean over the epoch's steps, summed over the members
    learning_rate: float  # of the epoch's last step
    seconds: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrainingResult:
    """The classifier of the best epoch, and how it came about."""

    classifier: FittedClassifier
    history: tuple[EpochRecord, ...]
    metrics: Mapping[str, float]  # of the best epoch: gap_at_20, map, hit_at_1, perr, and match_ap with background
    seconds: float
    best_epoch: int


def fit(
    train: Videos,
    validate: Videos,
    *,
    label_names: Mapping[int, str],
    target_label_ids: tuple[int, ...],
    config: TrainConfig,
    dataset_id: str,
    progress: Progress | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> TrainingResult:
    """Train a classifier of the labels that enough matching training videos have, and of `target_label_ids`.

    The same input gives the same weights on the same machine. With `patience` the best epoch by validation GAP
    is kept, without it the last one. The classifier comes back on the CPU.

    Raises:
        TrainingError: too few matching videos to learn from or to judge on, or no GPU where one was asked for.
        NonFiniteLossError: the loss became NaN or infinite.
    """
    started = perf_counter()
    _check_enough(train, validate, config)
    label_ids = kept_labels(train, min_positives=config.min_positives, always=target_label_ids)
    has_match = config.use_background and not bool(train.is_match.all())
    device = chosen_device(config.device)
    to_learn = examples(train, label_ids, device, matches_only=not has_match)
    to_judge = examples(validate, label_ids, device, matches_only=not has_match)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        model = build_model(config, len(label_ids) + has_match).to(device)
        trainer = Trainer(model, to_learn, config, has_match=has_match)
        history, module = _best_epoch(trainer, to_judge, config, progress or Silent(), on_epoch)
    classifier = FittedClassifier(
        module=module.cpu().eval(),
        label_ids=label_ids,
        label_names=tuple(label_names.get(label, f"label {label}") for label in label_ids),
        config=config,
        dataset_id=dataset_id,
        has_match=has_match,
    )
    best = _best(history, config)
    return TrainingResult(classifier, history, best.metrics, perf_counter() - started, best.epoch)


def _check_enough(train: Videos, validate: Videos, config: TrainConfig) -> None:
    advice = "Build a dataset of more shards: `reelsift dataset build` with a higher `--limit`, or none."
    matches = int(train.is_match.sum())
    if matches < config.min_positives:
        raise TrainingError(
            f"Only {matches} of the {len(train.is_match)} training videos match, and a label is learnt from "
            f"min_positives = {config.min_positives}. {advice}"
        )
    if not validate.is_match.any():
        raise TrainingError(
            f"None of the {len(validate.is_match)} validation videos matches, so no epoch can be judged. {advice}"
        )


def _best_epoch(
    trainer: Trainer,
    to_judge: Examples,
    config: TrainConfig,
    progress: Progress,
    on_epoch: Callable[[EpochRecord], None] | None,
) -> tuple[tuple[EpochRecord, ...], nn.Module]:
    """Train until the last epoch, or until `patience` is spent; return all records and the best epoch's weights."""
    history: list[EpochRecord] = []
    module = trainer.averaged
    what = f"training {config.model}"  # a bar for each candidate: the goal of one for all would grow with each
    progress.begin(what, config.epochs, "epochs")
    for epoch in range(1, config.epochs + 1):
        started = perf_counter()
        loss, learning_rate = trainer.train_epoch(epoch)
        metrics = _validated(trainer.averaged, to_judge)
        history.append(EpochRecord(epoch, loss, learning_rate, perf_counter() - started, metrics))
        progress.advance(what, 1)
        if on_epoch:
            on_epoch(history[-1])
        best = _best(history, config)
        if best.epoch == epoch:
            module = copy.deepcopy(trainer.averaged)
        elif epoch - best.epoch >= config.patience:
            why = f"no better for {config.patience}"
            stop(progress, what, f"stopped at epoch {epoch} of at most {config.epochs}: {why}")
            break
    return tuple(history), module


def _best(history: Sequence[EpochRecord], config: TrainConfig) -> EpochRecord:
    """Return the record of the weights to keep: the first of the highest GAP, or the last without `patience`."""
    return max(history, key=lambda record: record.metrics["gap_at_20"]) if config.patience else history[-1]


@torch.inference_mode()
def _validated(module: nn.Module, videos: Examples) -> dict[str, float]:
    """Return the metrics of the matching videos, and the AP of the match where the module has such an output."""
    labels = videos.targets_NL.shape[1]
    metrics = YouTube8MMetrics()
    outputs_NO = []
    module.eval()
    for features_BF, targets_BL, is_match_B in videos.split(JUDGED_ROWS):
        outputs_BO = module(features_BF)
        metrics.update(outputs_BO[is_match_B, :labels], targets_BL[is_match_B])
        outputs_NO.append(outputs_BO[:, labels:].cpu())
    named = metrics.compute().named()
    match_N1 = torch.cat(outputs_NO)
    match_ap = match_average_precision(match_N1[:, 0], videos.is_match_N.cpu()) if match_N1.shape[1] else None
    return named if match_ap is None else named | {"match_ap": match_ap}
