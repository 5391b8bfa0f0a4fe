"""One training under way: the model, its averaged weights and the optimiser, an epoch at a time.

In: a model and the videos to learn from. Out: each epoch's loss; the weights change in place. Does not know
of validation nor when to stop.

Shapes: N videos, B videos of a batch, S steps of an epoch, F features, O outputs (the labels, then the match).
"""

# ruff: noqa: N803, N806 - capitals at the end of a tensor's name are its axes, as in the legend above.

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tasks.classifier.config import TrainConfig
from tasks.classifier.data import Examples
from tasks.classifier.losses import cross_entropy, l2_penalty
from tasks.classifier.models import VideoModel
from tasks.classifier.schedule import learning_rate
from tasks.contracts.errors import NonFiniteLossError


class Trainer:
    """Trains `model` in place. `averaged` holds the weights to judge and keep: a moving average of the model's."""

    def __init__(self, model: VideoModel, videos: Examples, config: TrainConfig, *, has_match: bool) -> None:
        self.model = model
        self.config = config
        self.videos = videos
        self.has_match = has_match
        self.steps_an_epoch = math.ceil(len(videos) / config.batch_size)
        self.averaged_model = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        self.optimizer = _optimizer(model, config)

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
        self.model.train()
        first = (epoch - 1) * self.steps_an_epoch
        order_N = torch.randperm(len(self.videos)).to(self.videos.features_NF.device)
        batches = order_N.split(self.config.batch_size)
        losses_S = torch.stack([self._step(first + n, rows_B) for n, rows_B in enumerate(batches)]).cpu()
        self._check_finite(losses_S, first, epoch)
        return losses_S.mean().item(), self._learning_rate(first + len(batches) - 1)

    def _step(self, step: int, rows_B: Tensor) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        loss = self._loss(rows_B)
        self.optimizer.zero_grad(set_to_none=True)
        penalty = l2_penalty(self.model, self.config.l2_penalty) if self.config.l2_penalty else 0.0
        (loss + penalty).backward()
        for parameter in self.model.parameters():  # one by one, as the starter code does
            nn.utils.clip_grad_norm_(parameter, self.config.clip_norm)
        self.optimizer.step()
        self.averaged_model.update_parameters(self.model)
        return loss.detach()

    def _loss(self, rows_B: Tensor) -> Tensor:
        features_BF = self.videos.features_NF[rows_B]
        with torch.autocast(features_BF.device.type, torch.bfloat16, enabled=features_BF.is_cuda):
            probabilities_MBO = self.model.members(features_BF)
        return cross_entropy(probabilities_MBO, *self._targets_and_weights(rows_B))

    def _targets_and_weights(self, rows_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return targets_BO and weights_BO: a matching video counts `match_weight` times for its labels."""
        targets_BO = self.videos.targets_NL[rows_B].float()
        match_B1 = self.videos.is_match_N[rows_B, None].float()
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


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam; where weights decay (decoupled), biases and scales do not."""
    decaying = [p for name, p in model.named_parameters() if name.endswith("weight")]
    others = [p for name, p in model.named_parameters() if not name.endswith("weight")]
    groups = [{"params": decaying, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
