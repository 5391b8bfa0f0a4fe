"""Training: a dataset version to a fitted classifier, with schedule, averaged weights and early stopping."""

import copy
import math
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tasks.classifier.config import TrainConfig
from tasks.classifier.data import (
    Examples,
    SequenceExamples,
    chosen_device,
    examples,
    kept_labels,
    multiplies_halves,
    sequence_examples,
)
from tasks.classifier.evaluate import match_average_precision
from tasks.classifier.fitted import FittedClassifier, block_rows
from tasks.classifier.metrics import YouTube8MMetrics
from tasks.classifier.models import VideoModel, build_model, cross_entropy, l2_penalty
from tasks.classifier.scoring import JUDGED_ROWS
from tasks.classifier.sequence import Ragged
from tasks.contracts.errors import NonFiniteLossError, TrainingError
from tasks.contracts.progress import Progress, Silent, stop
from tasks.datasets.load import Videos
from tasks.datasets.moments import no_moments

OWN_PROCESS = Path("/proc/self")  # of Linux
STAIR_VIDEOS = 4_000_000  # the starter code's learning_rate_decay_examples
STAIR_FACTOR = 0.95  # and its learning_rate_decay
WARM_UP_SHARE = 0.1  # of a cosine's steps; Adam's first steps are poorly scaled


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return the learning rate of `step` (from 0) of `steps`."""
    if config.schedule == "staircase":
        return config.learning_rate * STAIR_FACTOR ** (step * config.batch_size // STAIR_VIDEOS)
    warm = min(1.0, (step + 1) / (WARM_UP_SHARE * steps))
    return config.learning_rate * warm * (1 + math.cos(math.pi * step / steps)) / 2


# ruff: noqa: N803, N806 - capitals at the end of a tensor's name are its axes, as in the legend above.


class Trainer:
    """Trains `model` in place. `averaged` holds the weights to judge and keep: a moving average of the model's."""

    def __init__(
        self, model: VideoModel[Any], videos: Examples | SequenceExamples, config: TrainConfig, *, has_match: bool
    ) -> None:
        self.model = model
        self.config = config
        self.videos = videos
        self.has_match = has_match
        # On a processor for the chain alone, whose products are large: other models train to what they always did.
        self.in_halves = multiplies_halves(videos.device) and (config.model == "chain" or videos.device.type == "cuda")
        self.steps_an_epoch = math.ceil(len(videos) / config.batch_size)
        self.averaged_model = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        self.averaged_model.to(videos.device)  # where it is: makes the copied weights of a recurrent network one block
        self.optimizer = AdamW(model, config.weight_decay)
        self.seconds = 0.0  # of all epochs, without judging

    @property
    def averaged(self) -> nn.Module:
        """The weights to judge and to keep, in a model of their own."""
        return self.averaged_model.module

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """Pass once over the videos in a new order, and return the mean loss and the last learning rate.

        `epoch` counts from 1. The losses are looked at after the epoch, so that a GPU need not wait for each.

        Raises:
            NonFiniteLossError: a loss is NaN or infinite.
        """
        started = perf_counter()
        self.model.train()
        first = (epoch - 1) * self.steps_an_epoch
        batches = self.videos.shuffled(self.config.batch_size)
        losses_S = torch.stack([self.train_step(first + n, *batch) for n, batch in enumerate(batches)]).cpu()
        self.seconds += perf_counter() - started
        self._check_finite(losses_S, first, epoch)
        return losses_S.mean().item(), self._learning_rate(first + len(losses_S) - 1)

    def train_step(self, step: int, features: Tensor | Ragged, targets_BL: Tensor, is_match_B: Tensor) -> Tensor:
        """Learn from some videos, and return the loss; `step` counts from 0 over all epochs."""
        loss = self._loss(features, targets_BL, is_match_B)
        self.model.zero_grad(set_to_none=True)
        penalty = l2_penalty(self.model, self.config.l2_penalty) if self.config.l2_penalty else 0.0
        (loss + penalty).backward()
        for parameter in self.model.parameters():  # one by one, as the starter code does
            nn.utils.clip_grad_norm_(parameter, self.config.clip_norm)
        self.optimizer.step(self._learning_rate(step))
        self.averaged_model.update_parameters(self.model)
        return loss.detach()

    def _loss(self, features: Tensor | Ragged, targets_BL: Tensor, is_match_B: Tensor) -> Tensor:
        with torch.autocast(targets_BL.device.type, torch.bfloat16, enabled=self.in_halves):
            probabilities_MBO = self.model.members(features)
        targets_BO, weights_BO = self._targets_and_weights(targets_BL.float(), is_match_B[:, None].float())
        return cross_entropy(probabilities_MBO, targets_BO, weights_BO)

    def _targets_and_weights(self, targets_BO: Tensor, match_B1: Tensor) -> tuple[Tensor, Tensor]:
        """Return targets_BO and weights_BO: a matching video counts `match_weight` times for its labels."""
        weights_BO = (1 + (self.config.match_weight - 1) * match_B1).expand_as(targets_BO)
        if not self.has_match:
            return targets_BO, weights_BO
        targets_BO = torch.cat([targets_BO, match_B1], dim=1)
        return targets_BO, torch.cat([weights_BO, torch.ones_like(match_B1)], dim=1)

    def _learning_rate(self, step: int) -> float:
        return learning_rate(self.config, step, self.config.epochs * self.steps_an_epoch)

    def _check_finite(self, losses_S: Tensor, first: int, epoch: int) -> None:
        finite_S = losses_S.isfinite()
        if finite_S.all():
            return
        bad = int(finite_S.to(torch.uint8).argmin())
        raise NonFiniteLossError(
            f"The loss of the {self.config.model} model became {losses_S[bad].item()} at step {first + bad + 1} (epoch "
            f"{epoch}, learning rate {self._learning_rate(first + bad):.3g}). Try a learning_rate a tenth of "
            f"{self.config.learning_rate:g}, a larger batch_size than {self.config.batch_size}, or look for odd "
            "features with `reelsift dataset verify`."
        )


class AdamW:
    """PyTorch's AdamW by its functional form; biases and scales do not decay.

    `torch.optim.AdamW` computes the same, bit for bit, but imports PyTorch's compiler at its first step: two seconds.
    """

    def __init__(self, model: nn.Module, weight_decay: float) -> None:
        decaying = [p for name, p in model.named_parameters() if name.endswith("weight")]
        others = [p for name, p in model.named_parameters() if not name.endswith("weight")]
        self._groups = [(_AdamState(each), decay) for each, decay in ((decaying, weight_decay), (others, 0.0)) if each]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change the parameters by their gradients, which must be there."""
        for state, decay in self._groups:
            adamw(
                state.parameters,
                state.gradients,
                state.means,
                state.squares,
                [],
                state.steps,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=learning_rate,
                weight_decay=decay,
                eps=1e-8,
                maximize=False,
            )


class _AdamState:
    """Parameters with the moving averages of their gradients and of the squares of these, and how many steps."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.means, self.squares = ([torch.zeros_like(each) for each in parameters] for _ in range(2))
        self.steps = [torch.zeros((), device=each.device) for each in parameters]

    @property
    def gradients(self) -> list[Tensor]:
        """Those of the parameters."""
        return [each.grad for each in self.parameters if each.grad is not None]


# ruff: noqa: N806 - capitals at the end of a tensor's name are its axes, as in the legend above.


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch measured. The metrics are of the averaged weights, on the validation videos."""

    epoch: int  # from 1
    loss: float  # mean over the epoch's steps, summed over the members
    learning_rate: float  # of the epoch's last step
    seconds: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrainingCost:
    """What a model costs, beside the seconds of its training."""

    parameters: int  # that are learnt
    videos_per_s: float  # learnt from, reading them included; without judging
    peak_mb: float  # memory in 10^6 bytes: of a GPU what tensors took, else the process as a whole


@dataclass(frozen=True)
class TrainingResult:
    """The classifier of the best epoch, and how it came about."""

    classifier: FittedClassifier
    history: tuple[EpochRecord, ...]
    metrics: Mapping[str, float]  # of the best epoch: gap_at_20, map, hit_at_1, perr, and match_ap with background
    seconds: float
    best_epoch: int
    cost: TrainingCost | None = None  # None where an earlier release trained it


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
        DatasetError: the model looks at the moments of videos, and the version does not have them.
        NonFiniteLossError: the loss became NaN or infinite.
    """
    started = perf_counter()
    if config.model.is_over_time and (train.moments is None or validate.moments is None):
        raise no_moments(config.model, dataset_id)
    train.space.check_same(validate.space, who="The training split", what="the validation split")
    _check_enough(train, validate, config)
    label_ids = kept_labels(train, min_positives=config.min_positives, always=target_label_ids)
    has_match = config.use_background and not bool(train.is_match.all())
    device = chosen_device(config.device)
    peak = PeakMemory(device)
    made = sequence_examples if config.model.is_over_time else examples
    to_learn = made(train, label_ids, device, matches_only=not has_match)
    to_judge = made(validate, label_ids, device, matches_only=not has_match)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        model = build_model(config, len(label_ids) + has_match, train.space).to(device)
        if model.learns_scaling:  # else the moments of videos would be read for nothing
            model.learn_scaling(to_learn.sample())
        trainer = Trainer(model, to_learn, config, has_match=has_match)
        history, module = _best_epoch(trainer, to_judge, config, progress or Silent(), on_epoch)
    classifier = FittedClassifier(
        module=module.cpu().eval(),
        label_ids=label_ids,
        label_names=tuple(label_names.get(label, f"label {label}") for label in label_ids),
        config=config,
        dataset_id=dataset_id,
        has_match=has_match,
        space=train.space,
    )
    best = _best(history, config)
    cost = TrainingCost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        videos_per_s=len(history) * len(to_learn) / trainer.seconds,
        peak_mb=peak.bytes / 1e6,
    )
    return TrainingResult(classifier, history, best.metrics, perf_counter() - started, best.epoch, cost)


class PeakMemory:
    """The most memory that is taken from now on: by tensors on a GPU, else by the process as a whole.

    Where the system cannot reset the peak (it is not Linux), the most since the process began.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):
                (OWN_PROCESS / "clear_refs").write_text("5")  # proc(5): resets the peak of the resident set

    @property
    def bytes(self) -> int:
        """The peak so far."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        with suppress(OSError, StopIteration):
            lines = (OWN_PROCESS / "status").read_text().splitlines()
            return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) * 1024
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


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
    to_judge: Examples | SequenceExamples,
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
        metrics = validated(trainer.averaged, to_judge)
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
def validated(module: nn.Module, videos: Examples | SequenceExamples) -> dict[str, float]:
    """Return the metrics of the matching videos, and the AP of the match where the module has such an output."""
    labels = videos.targets.labels
    metrics = YouTube8MMetrics()
    outputs_NO = []
    module.eval()
    for features, targets_BL, is_match_B in videos.split(block_rows(labels, JUDGED_ROWS)):
        outputs_BO = module(features)
        metrics.update(outputs_BO[is_match_B, :labels], targets_BL[is_match_B])
        outputs_NO.append(outputs_BO[:, labels:].cpu())
    named = metrics.compute().named()
    match_N1 = torch.cat(outputs_NO).numpy()
    is_match_N = videos.is_match_N.cpu().numpy()
    match_ap = match_average_precision(match_N1[:, 0], is_match_N) if match_N1.shape[1] else None
    return named if match_ap is None else named | {"match_ap": match_ap}
