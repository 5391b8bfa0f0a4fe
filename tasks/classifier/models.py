"""The architectures, from raw features of videos, or of their moments, to probabilities, and their loss."""

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.classifier.config import ModelKind, TrainConfig
from tasks.classifier.sequence import (
    AttentionPooling,
    MeanPooling,
    NetVlad,
    NextVlad,
    Pooling,
    Ragged,
    Recurrent,
    TemporalConvolution,
)
from tasks.contracts.features import YT8M, FeatureSpace

# ruff: noqa: N803, N806, N815 - capitals at the end of a tensor's name are its axes, as in the legend above.


RARE_LOGIT = -4.0  # where the outputs of a network start: most labels are rare
SMALLEST_DEVIATION = 1e-5  # of a feature's mean: what differs by less is rounding
FARTHEST = 10.0  # deviations from the mean: an outlier may not outweigh all other features
SCALED_ROWS = 1 << 14  # whose deviation is computed at once: 151 MB in float64
CHAINED_SIZE = 256  # to which the predictions of a stage are made small for the next ones, as in the paper
OPEN_LOGIT = 3.0  # where the gates start: open, so that what is behind them learns from the first step


FeaturesT = TypeVar("FeaturesT", Tensor, Ragged)


class VideoModel(nn.Module, Generic[FeaturesT]):
    """Raw features to probabilities: the mean of `members`, which are trained side by side.

    The features are those of whole videos, (B, F), or of their moments.
    """

    def __init__(self, space: FeatureSpace) -> None:
        super().__init__()
        self.scaling = UnitLength() if space.scaling == "l2" else Standard(space.size)

    def learn_scaling(self, features_NF: Tensor) -> None:
        """Learn what the scaling needs to know of the raw features of the training videos, or of their moments."""
        self.scaling.learn(features_NF)

    @property
    def learns_scaling(self) -> bool:
        """Whether the scaling needs to know the raw features."""
        return isinstance(self.scaling, Standard)

    def members(self, features_BF: FeaturesT) -> Tensor:
        """Return probabilities_MBO in float32 of raw features."""
        raise NotImplementedError

    def forward(self, features_BF: FeaturesT) -> Tensor:
        """Return probabilities_BO in float32 of raw features."""
        return self.members(features_BF).mean(dim=0)


class Logistic(VideoModel[Tensor]):
    """One logistic regression an output: LogisticModel of the starter code."""

    def __init__(self, outputs: int, space: FeatureSpace = YT8M) -> None:
        super().__init__(space)
        self.linear = _starter_linear(space.size, outputs)

    def members(self, features_BF: Tensor) -> Tensor:
        """Return probabilities_MBO of the one member."""
        return self.linear(self.scaling(features_BF)).float().sigmoid()[None]


class MixtureOfExperts(VideoModel[Tensor]):
    """For each output a softmax over experts and a dummy that always says 0: MoeModel of the starter code."""

    def __init__(self, outputs: int, experts: int, space: FeatureSpace = YT8M) -> None:
        super().__init__(space)
        self.experts = experts
        self.gate = _starter_linear(space.size, outputs * (experts + 1), bias=False)
        self.expert = _starter_linear(space.size, outputs * experts)

    def members(self, features_BF: Tensor) -> Tensor:
        """Return probabilities_MBO of the one member."""
        x_BF = self.scaling(features_BF)
        gates_BOE = self.gate(x_BF).float().unflatten(1, (-1, self.experts + 1)).softmax(dim=2)
        experts_BOE = self.expert(x_BF).float().unflatten(1, (-1, self.experts)).sigmoid()
        return (gates_BOE[:, :, :-1] * experts_BOE).sum(dim=2)[None]


class Gated(VideoModel[Tensor]):
    """Networks of a hidden layer and a logistic regression an output, whose outputs gate one another.

    The gate is the context gating of WILLOW's entry (arXiv:1706.06905): each probability is multiplied by what all of
    them say of it, so a label that does not go with the others is held back.
    """

    def __init__(self, outputs: int, config: TrainConfig, space: FeatureSpace = YT8M) -> None:
        super().__init__(space)
        self.input_scale = math.sqrt(space.size)  # each feature's mean square is 1
        self.hidden = MemberLinear(config.members, space.size, config.hidden_size)
        self.norm = MemberNorm(config.members, config.hidden_size)
        self.head = MemberLinear(config.members, config.hidden_size, outputs)
        self.gate = MemberLinear(config.members, outputs, outputs)
        nn.init.constant_(self.head.bias, RARE_LOGIT)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, OPEN_LOGIT)
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.dropout = nn.Dropout(config.dropout)

    def members(self, features_BF: Tensor) -> Tensor:
        """Return probabilities_MBO."""
        x_BF = self.input_dropout(self.scaling(features_BF) * self.input_scale)
        hidden_MBH = self.dropout(functional.gelu(self.norm(self.hidden(x_BF))))
        ungated_MBO = self.head(hidden_MBH).float().sigmoid()
        return ungated_MBO * self.gate(ungated_MBO).float().sigmoid()


class Chain(VideoModel[Tensor]):
    """Stages of a hidden layer and, an output, a mixture of experts or a logistic regression; each sees the last ones.

    Follows the deep chain of Wang et al., "The Monkeytyping Solution to the YouTube-8M Video Understanding Challenge"
    (arXiv:1706.05150): a stage's predictions, made small and of unit length, stand beside the features for the stages
    after it, so that labels that come together are learnt together, without a weight for each pair of labels. While it
    is trained, the predictions of all stages are members, each with a loss of its own.
    """

    def __init__(self, outputs: int, config: TrainConfig, space: FeatureSpace = YT8M) -> None:
        super().__init__(space)
        if space.scaling == "l2":
            self.scaling = UnitLengths(space, is_equal=config.equal_modalities)
        self.input_scale = math.sqrt(space.size)  # each feature's mean square is 1
        sizes = [space.size + CHAINED_SIZE * stage for stage in range(config.stages)]
        self.stages = nn.ModuleList(ChainStage(size, outputs, config) for size in sizes)
        links = (MemberLinear(config.members, outputs, CHAINED_SIZE) for _ in sizes[1:])
        self.links = nn.ModuleList(links)
        self.input_dropout = nn.Dropout(config.input_dropout)

    def members(self, features_BF: Tensor) -> Tensor:
        """Return probabilities_MBO of the last stage; in training of all stages, one after the other."""
        x_MBI = self.input_dropout(self.scaling(features_BF) * self.input_scale)[None]
        found = list[Tensor]()
        for number, stage in enumerate(self.stages):
            if number:
                small_MBC = functional.relu(self.links[number - 1](found[-1]))
                unit_MBC = functional.normalize(small_MBC, dim=2) * math.sqrt(CHAINED_SIZE)
                x_MBI = torch.cat([x_MBI.expand(len(unit_MBC), -1, -1), unit_MBC], dim=2)
            found.append(stage(x_MBI))
        return torch.cat(found) if self.training else found[-1]


class ChainStage(nn.Module):
    """A hidden layer, and for each output a mixture of experts; without experts, a logistic regression."""

    def __init__(self, inputs: int, outputs: int, config: TrainConfig) -> None:
        super().__init__()
        self.experts = config.experts
        self.hidden = MemberLinear(config.members, inputs, config.hidden_size)
        self.norm = MemberNorm(config.members, config.hidden_size)
        if self.experts:
            self.gate = MemberLinear(config.members, config.hidden_size, outputs * config.experts)
        self.expert = MemberLinear(config.members, config.hidden_size, outputs * max(1, config.experts))
        nn.init.constant_(self.expert.bias, RARE_LOGIT)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_MBI: Tensor) -> Tensor:
        """Return probabilities_MBO in float32 of inputs that all members share, or of one's own each."""
        hidden_MBH = self.dropout(functional.gelu(self.norm(self.hidden(x_MBI))))
        said_MBO = self.expert(hidden_MBH).float()
        if not self.experts:
            return said_MBO.sigmoid()
        gates_MBEO = self.gate(hidden_MBH).float().unflatten(2, (self.experts, -1))
        with_dummy_MBEO = functional.pad(gates_MBEO, (0, 0, 1, 0))  # that always says 0; its logit may as well be 0
        experts_MBEO = said_MBO.unflatten(2, (self.experts, -1)).sigmoid()
        return (with_dummy_MBEO.softmax(dim=2)[:, :, 1:] * experts_MBEO).sum(dim=2)


class OverTime(VideoModel[Ragged]):
    """What a network makes of a video's moments, a hidden layer, and a logistic regression an output."""

    def __init__(self, outputs: int, config: TrainConfig, space: FeatureSpace = YT8M) -> None:
        super().__init__(space)
        self.input_scale = math.sqrt(space.size)  # each feature's mean square is 1
        self.pooling = _pooling(config, space.size)
        self.hidden = nn.Linear(self.pooling.size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size)
        self.head = nn.Linear(config.hidden_size, outputs)
        nn.init.constant_(self.head.bias, RARE_LOGIT)
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.dropout = nn.Dropout(config.dropout)

    def members(self, features_BF: Ragged) -> Tensor:
        """Return probabilities_MBO of the one member."""
        x_PF = self.input_dropout(self.scaling(features_BF.values_PF) * self.input_scale)
        pooled_BD = self.dropout(self.pooling(features_BF.with_values(x_PF)))
        hidden_BH = self.dropout(functional.gelu(self.norm(self.hidden(pooled_BD))))
        return self.head(hidden_BH).float().sigmoid()[None]


def _pooling(config: TrainConfig, features: int) -> Pooling:
    hidden, layers, dropout = config.hidden_size, config.layers, config.dropout
    makers: dict[ModelKind, Callable[[], Pooling]] = {
        ModelKind.MEAN: lambda: MeanPooling(features),
        ModelKind.LSTM: lambda: Recurrent(nn.LSTM, features, hidden, layers, dropout),
        ModelKind.GRU: lambda: Recurrent(nn.GRU, features, hidden, layers, dropout),
        ModelKind.ATTENTION: lambda: AttentionPooling(features, hidden, config.heads),
        ModelKind.NETVLAD: lambda: NetVlad(features, hidden, config.clusters),
        ModelKind.NEXTVLAD: lambda: NextVlad(features, hidden, config.clusters, config.heads),
        ModelKind.CONVOLUTION: lambda: TemporalConvolution(features, hidden, layers, dropout),
    }
    return makers[config.model]()


class MemberLinear(nn.Module):
    """A linear layer a member, all in one batched product."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)  # as nn.Linear starts
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return y_MBO of x_MBI, or of x_BI that all members share."""
        return torch.baddbmm(self.bias, x.expand(len(self.weight), -1, -1), self.weight)


class MemberNorm(nn.Module):
    """Layer normalisation with a scale and a shift a member."""

    def __init__(self, members: int, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(members, 1, size))
        self.bias = nn.Parameter(torch.zeros(members, 1, size))

    def forward(self, x_MBH: Tensor) -> Tensor:
        """Return x_MBH with a mean of 0 and a variance of 1 over H, then scaled and shifted."""
        return functional.layer_norm(x_MBH, x_MBH.shape[-1:]) * self.scale + self.bias


def build_model(config: TrainConfig, outputs: int, space: FeatureSpace = YT8M) -> VideoModel[Any]:
    """Return an untrained model of raw features of a space to probabilities_BO in float32."""
    match config.model:
        case ModelKind.LOGISTIC:
            return Logistic(outputs, space)
        case ModelKind.MOE:
            return MixtureOfExperts(outputs, config.experts, space)
        case ModelKind.GATED:
            return Gated(outputs, config, space)
        case ModelKind.CHAIN:
            return Chain(outputs, config, space)
        case _:
            return OverTime(outputs, config, space)


class UnitLength(nn.Module):
    """Each row with an l2 norm of 1, all modalities together as in the starter code; zeros stay zeros."""

    def learn(self, features_NF: Tensor) -> None:
        """Learn nothing: each row is scaled by itself."""

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return features_BF of length 1."""
        return functional.normalize(features_BF, dim=1, eps=1e-6)


class UnitLengths(UnitLength):
    """Each row with an l2 norm of 1, of which each modality has a share; zeros stay zeros.

    So whether there is much sound does not decide how large the values of the picture are.
    """

    def __init__(self, space: FeatureSpace, *, is_equal: bool = False) -> None:
        """Give each modality the share that its features are of all, or the same share to all."""
        super().__init__()
        self.sizes = [modality.size for modality in space.modalities]
        self.shares = [1] * len(self.sizes) if is_equal else self.sizes

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return features_BF of length 1."""
        parts = features_BF.split(self.sizes, dim=1)
        units = (functional.normalize(part, dim=1, eps=1e-6) for part in parts)
        scaled = [unit * math.sqrt(share) for unit, share in zip(units, self.shares, strict=True)]
        return torch.cat(scaled, dim=1) / math.sqrt(sum(self.shares))


class Standard(nn.Module):
    """Each feature with the mean and deviation that it had in training, and rows of a length of about 1."""

    mean_F: Tensor
    factor_F: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(size))
        self.register_buffer("factor_F", torch.full((size,), 1 / math.sqrt(size)))

    def learn(self, features_NF: Tensor) -> None:
        """Learn the mean and deviation of each feature; one that never differs counts for nothing."""
        deviation_F, mean_F = deviations(features_NF)
        factor_F = torch.where(deviation_F > SMALLEST_DEVIATION * mean_F.abs(), 1 / deviation_F, 0.0)
        self.mean_F.copy_(mean_F)
        self.factor_F.copy_(factor_F.nan_to_num(posinf=0.0) / math.sqrt(len(factor_F)))

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return scaled features_BF, within 10 deviations."""
        bound = FARTHEST / math.sqrt(len(self.factor_F))
        return ((features_BF - self.mean_F) * self.factor_F).clamp(-bound, bound)


def deviations(features_NF: Tensor) -> tuple[Tensor, Tensor]:
    """Return the deviation and the mean of each feature in float64, of some rows at a time.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
    """
    first, *others = features_NF.split(SCALED_ROWS)
    count = len(first)
    deviation_F, mean_F = torch.std_mean(first.double(), dim=0, correction=0)
    for rows_BF in others:
        here_F, here_mean_F = torch.std_mean(rows_BF.double(), dim=0, correction=0)
        before, share, count = count, len(rows_BF) / (count + len(rows_BF)), count + len(rows_BF)
        apart_F = here_mean_F - mean_F
        squares_F = deviation_F.square() * (1 - share) + here_F.square() * share
        deviation_F = (squares_F + apart_F.square() * share * before / count).sqrt()
        mean_F = mean_F + apart_F * share
    return deviation_F, mean_F


def _starter_linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """Return a layer that starts as TensorFlow's slim does: Glorot's uniform weights, biases of 0."""
    linear = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(linear.weight)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear


# ruff: noqa: N803, N806 - capitals at the end of a tensor's name are its axes, as in the legend above.


EPSILON = 1e-5  # as in the starter code; keeps log(0) finite


def cross_entropy(probabilities_MBO: Tensor, targets_BO: Tensor, weights_BO: Tensor) -> Tensor:
    """Return the cross-entropy summed over outputs, averaged over the videos, summed over the members.

    The members' losses share no parameter, so their sum trains each as if it were alone.
    """
    hit_MBO = targets_BO * (probabilities_MBO + EPSILON).log()
    miss_MBO = (1 - targets_BO) * (1 - probabilities_MBO + EPSILON).log()
    return -((hit_MBO + miss_MBO) * weights_BO).sum() / targets_BO.shape[0]


def l2_penalty(module: nn.Module, factor: float) -> Tensor:
    """Return `factor` times half the sum of all squared weights, biases left out, as TensorFlow's slim does."""
    weights = [weight for name, weight in module.named_parameters() if "bias" not in name.rpartition(".")[2]]
    return factor / 2 * torch.stack([weight.square().sum() for weight in weights]).sum()
