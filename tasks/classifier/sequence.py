"""Networks over time: the moments of videos, one video after the other without padding, to one vector a video.

Shapes: B videos, P moments of all of them, F features, H units, D values of a video's vector, K clusters, G groups.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from tasks.contracts.features import CODE_STEP, CODE_ZERO

# ruff: noqa: N803, N806, N815 - capitals at the end of a tensor's name are its axes, as in the legend above.

VIDEOS_AT_ONCE = 32  # that are judged in one pass: 44 MB of 300 moments each, several times over
LONGEST = 300  # moments of a video that are looked at, as in YouTube-8M; of a longer one so many, evenly spread
POSITION_WAVES = 16  # lengths of the waves that tell a moment's place, from one moment to all that may be looked at
ATTENTION_SIZE = 64  # units that decide how much a head looks at a moment
KERNEL = 5  # moments that a layer of a convolution sees; the next one's lie twice as far apart
EXPANSION = 2  # how many times as wide NeXtVLAD makes a moment's features before it divides them into groups
SQUEEZE = 8  # how many times as narrow its context gate is within


@dataclass(frozen=True)
class Ragged:
    """The moments of videos: those of video i are `offsets[i]` to `offsets[i + 1]`, one at least."""

    values_PF: Tensor
    offsets: Tensor  # int64, (B + 1,), on the CPU

    @classmethod
    def of(
        cls, values: NDArray[np.generic], offsets: NDArray[np.int64], device: torch.device, *, most: int = LONGEST
    ) -> "Ragged":
        """Return moments in float32 on a device, to which they go as they are: codes are dequantised there.

        Of a video of more than `most` moments so many are taken, evenly spread.
        """
        counts = np.diff(offsets)
        if counts.max(initial=0) > most:
            taken = [first + evenly(count, most) for first, count in zip(offsets[:-1], counts.tolist(), strict=True)]
            values = values[np.concatenate(taken)]
            offsets = np.cumsum([0, *map(len, taken)], dtype=np.int64)
        moved = torch.from_numpy(np.require(values, requirements=["C", "W"])).to(device, non_blocking=True)
        floats = moved.float()
        if moved.dtype == torch.uint8:
            floats = floats.mul_(CODE_STEP).add_(CODE_ZERO)
        return cls(floats, torch.from_numpy(offsets))

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.offsets) - 1

    def with_values(self, values: Tensor) -> "Ragged":
        """Return other values of the same moments."""
        return Ragged(values, self.offsets)

    @cached_property
    def counts(self) -> list[int]:
        """How many moments each video has."""
        return self.offsets.diff().tolist()

    @cached_property
    def lengths(self) -> Tensor:
        """The same, on the device of the values."""
        return self.offsets.diff().to(self.values_PF.device)

    @cached_property
    def time(self) -> Tensor:
        """How many moments of its video come before each one."""
        firsts = self.offsets[:-1].repeat_interleave(self.offsets.diff())
        return (torch.arange(int(self.offsets[-1])) - firsts).to(self.values_PF.device)

    def spread(self, values_BH: Tensor) -> Tensor:
        """Return what each video has, at each of its moments."""
        return values_BH.repeat_interleave(self.lengths, dim=0, output_size=int(self.offsets[-1]))

    def sums(self, values_PH: Tensor) -> Tensor:
        """Return the sums over each video's moments, (B, H) in float32."""
        return torch.segment_reduce(values_PH.float(), "sum", lengths=self.lengths, axis=0, unsafe=True)

    def means(self, values_PH: Tensor) -> Tensor:
        """Return the means over each video's moments, (B, H) in float32."""
        return self.sums(values_PH) / self.lengths[:, None]

    def highest(self, values_PH: Tensor) -> Tensor:
        """Return the highest values of each video's moments, (B, H) in float32."""
        return torch.segment_reduce(values_PH.float(), "max", lengths=self.lengths, axis=0, unsafe=True)

    def softmax(self, scores_PH: Tensor) -> Tensor:
        """Return the softmax over each video's moments, in float32."""
        scores_PH = scores_PH.float()
        shares_PH = (scores_PH - self.spread(self.highest(scores_PH.detach()))).exp()
        return shares_PH / self.spread(self.sums(shares_PH))

    def products(self, left_PK: Tensor, right_PH: Tensor) -> Tensor:
        """Return for each video the product of the transposed left moments and the right ones, (B, K, H) in float32.

        It is a sum over all moments, of which little is left beside the centres of clusters: halves would lose that.
        """
        pairs = zip(left_PK.float().split(self.counts), right_PH.float().split(self.counts), strict=True)
        with torch.autocast(left_PK.device.type, enabled=False):
            return torch.stack([left.mT @ right for left, right in pairs])

    def grouped(self, groups: int) -> "Ragged":
        """Return no values, but the offsets of what has a row for each group of each moment."""
        return Ragged(self.values_PF[:0], self.offsets * groups)

    def shifted(self, steps: int) -> Tensor:
        """Return at each moment the values of the one `steps` later in its video; 0 where there is none."""
        if steps == 0:
            return self.values_PF
        at_P = self.time + steps
        is_there_P = (at_P >= 0) & (at_P < self.spread(self.lengths))
        padding = (0, 0, 0, steps) if steps > 0 else (0, 0, -steps, 0)
        padded = functional.pad(self.values_PF, padding)
        moved = padded[steps:] if steps > 0 else padded[:steps]
        return moved * is_there_P[:, None]

    def packed(self, values_PH: Tensor) -> PackedSequence:
        """Return the moments as recurrent networks take them: first those of all videos, longest first, then the next.

        It holds as many rows as there are moments, no padding.
        """
        lengths = self.offsets.diff()
        order = lengths.argsort(descending=True, stable=True)
        time = torch.arange(int(lengths.max()))
        batch_sizes = (lengths[:, None] > time).sum(dim=0)
        place_TB = self.offsets[:-1][order] + time[:, None]
        device = values_PH.device
        index_P = place_TB[lengths[order] > time[:, None]].to(device)
        return PackedSequence(values_PH[index_P], batch_sizes, order.to(device), order.argsort().to(device))

    def unpacked(self, packed: PackedSequence) -> Tensor:
        """Return the values (P, H) of what `packed` packed, moment by moment."""
        places = self.packed(torch.arange(int(self.offsets[-1]), device=packed.data.device))
        return packed.data[places.data.argsort()]


def evenly(count: int, most: int = LONGEST) -> NDArray[np.int64]:
    """Return which of `count` moments are looked at: all, or `most` of them, evenly spread."""
    return np.arange(count) if count <= most else np.arange(most) * count // most


class Pooling(nn.Module):
    """Moments of videos to one vector a video, of `size` values."""

    size: int

    def forward(self, moments: Ragged) -> Tensor:
        """Return vectors_BD in float32 of scaled moments, whose features have a mean square of about 1."""
        raise NotImplementedError


class MeanPooling(Pooling):
    """The mean over time, which knows nothing of the order: the baseline."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.size = features

    def forward(self, moments: Ragged) -> Tensor:
        """Return the means_BF."""
        return moments.means(moments.values_PF)


class Recurrent(Pooling):
    """LSTM or GRU: its last state beside the mean of all its states.

    Hochreiter and Schmidhuber, "Long Short-Term Memory" (1997); Cho et al., "Learning Phrase Representations using RNN
    Encoder-Decoder" (arXiv:1406.1078). The last state alone, as the starter code's `LstmModel` has it, learns slowly
    from long videos. The features are made small first, in one product for all moments: the network's own products,
    one after the other in time, are what takes long.
    """

    def __init__(self, kind: type[nn.LSTM | nn.GRU], features: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.narrow = nn.Linear(features, hidden)
        self.network = kind(hidden, hidden, layers, dropout=dropout if layers > 1 else 0.0)
        self.size = 2 * hidden

    def forward(self, moments: Ragged) -> Tensor:
        """Return the last and the mean states, side by side."""
        packed = moments.packed(self.narrow(moments.values_PF).float())
        # PyTorch would run cuDNN's networks in float16, whatever was asked for, which has no room for small gradients.
        with torch.autocast(packed.data.device.type, enabled=False):
            states, _ = self.network(packed)
        states_PH = moments.unpacked(states)
        last_BH = states_PH[(moments.offsets[1:] - 1).to(states_PH.device)].float()
        return torch.cat([last_BH, moments.means(states_PH)], dim=1)


class AttentionPooling(Pooling):
    """Heads that each look at some moments: their weighted means, of features and of places in the video.

    The scores are those of additive attention, Bahdanau et al. (arXiv:1409.0473), pooled as in Lin et al., "A
    Structured Self-Attentive Sentence Embedding" (arXiv:1703.03130). A moment's place is given by sines and cosines,
    as in Vaswani et al. (arXiv:1706.03762), of how many moments came before and of the share of the video that is over.
    """

    def __init__(self, features: int, hidden: int, heads: int) -> None:
        super().__init__()
        places = 2 * (2 * POSITION_WAVES)
        self.heads = heads
        self.values = nn.Linear(features, hidden)
        self.place_values = nn.Linear(places, hidden, bias=False)
        self.keys = nn.Linear(features + places, ATTENTION_SIZE)
        self.queries = nn.Linear(ATTENTION_SIZE, heads, bias=False)
        self.size = heads * hidden

    def forward(self, moments: Ragged) -> Tensor:
        """Return what each head has seen, side by side."""
        x_PF, places_PW = moments.values_PF, self._places(moments)
        scores_PH = self.queries(self.keys(torch.cat([x_PF, places_PW], dim=1)).tanh())
        values_PD = functional.gelu(self.values(x_PF) + self.place_values(places_PW))
        return moments.products(moments.softmax(scores_PH), values_PD).flatten(1)

    @staticmethod
    def _places(moments: Ragged) -> Tensor:
        time_P = moments.time.float()
        shares_P = time_P / moments.spread(moments.lengths)
        waves_W = torch.logspace(0, -math.log10(LONGEST), POSITION_WAVES, device=time_P.device)
        absolute_PW = time_P[:, None] * waves_W
        relative_PW = shares_P[:, None] * math.pi * torch.arange(1, POSITION_WAVES + 1, device=time_P.device) / 2
        angles_PW = torch.cat([absolute_PW, relative_PW], dim=1)
        return torch.cat([angles_PW.sin(), angles_PW.cos()], dim=1)


class NetVlad(Pooling):
    """What is left of the moments beside the centres of the clusters to which they belong, summed for each cluster.

    Arandjelovic et al., "NetVLAD: CNN architecture for weakly supervised place recognition" (arXiv:1511.07247): soft
    assignments a_k(x) = softmax_k(w_k x + b_k), the sums of a_k(x) (x - c_k), each of length 1, all together of length
    1. As in WILLOW's entry, Miech et al. (arXiv:1706.06905), a layer makes these small and `ContextGating` follows.
    """

    def __init__(self, features: int, hidden: int, clusters: int) -> None:
        super().__init__()
        self.assignment = nn.Linear(features, clusters)
        self.centres_KF = nn.Parameter(torch.randn(clusters, features) / math.sqrt(features))
        self.hidden = nn.Linear(clusters * features, hidden)
        self.gating = ContextGating(hidden)
        self.size = hidden

    def forward(self, moments: Ragged) -> Tensor:
        """Return the gated vectors."""
        x_PF = moments.values_PF / math.sqrt(moments.values_PF.shape[1])  # of a length of about 1, as the centres
        shares_PK = self.assignment(moments.values_PF).float().softmax(dim=1)
        masses_BK1 = moments.sums(shares_PK)[:, :, None]
        vlad_BKF = moments.products(shares_PK, x_PF) - masses_BK1 * self.centres_KF
        unit_BD = functional.normalize(functional.normalize(vlad_BKF.float(), dim=2).flatten(1), dim=1)
        scaled_BD = unit_BD * math.sqrt(unit_BD.shape[1])
        return self.gating(self.hidden(scaled_BD).float())


class NextVlad(Pooling):
    """NetVLAD of groups of features, which attend to a moment each by itself: smaller, and as good.

    Lin, Xiao and Fan, "NeXtVLAD: An Efficient Neural Network to Aggregate Frame-level Features for Large-scale Video
    Classification" (arXiv:1811.05014): a moment is made `EXPANSION` times as wide and divided into G groups; the sums
    are over moments and groups, each weighted by the group's attention sigmoid(w_g x) and by its soft assignment. The
    gate after the hidden layer is the paper's, of squeeze and excitation. Layer normalisation stands for the paper's
    batch normalisation: it is the same for a batch of any size.
    """

    def __init__(self, features: int, hidden: int, clusters: int, groups: int) -> None:
        super().__init__()
        self.groups, self.clusters = groups, clusters
        group_size = math.ceil(EXPANSION * features / groups)
        self.expand = nn.Linear(features, groups * group_size)
        self.attention = nn.Linear(groups * group_size, groups)
        self.assignment = nn.Linear(groups * group_size, groups * clusters)
        self.centres_KF = nn.Parameter(torch.randn(clusters, group_size) / math.sqrt(group_size))
        self.norm = nn.LayerNorm(clusters * group_size)
        self.hidden = nn.Linear(clusters * group_size, hidden)
        self.squeeze = nn.Linear(hidden, max(1, hidden // SQUEEZE))
        self.excite = nn.Linear(max(1, hidden // SQUEEZE), hidden)
        self.size = hidden

    def forward(self, moments: Ragged) -> Tensor:
        """Return the gated vectors."""
        wide_PD = self.expand(moments.values_PF)
        groups_PGD = wide_PD.unflatten(1, (self.groups, -1))
        assigned_PGK, attended_PG = self._scores(wide_PD)
        weights_PGK = assigned_PGK.softmax(dim=2) * attended_PG.sigmoid()[:, :, None]
        masses_BK = moments.sums(weights_PGK.sum(dim=1))
        by_group = moments.grouped(self.groups)  # a row for each moment and group
        sums_BKD = by_group.products(weights_PGK.flatten(0, 1), groups_PGD.flatten(0, 1))
        sums_BKD = sums_BKD / math.sqrt(groups_PGD.shape[2])  # of the sums, which are few, not of each moment
        vlad_BKD = functional.normalize(sums_BKD - masses_BK[:, :, None] * self.centres_KF, dim=2)
        hidden_BH = functional.relu(self.hidden(self.norm(vlad_BKD.flatten(1)))).float()
        return hidden_BH * self.excite(functional.relu(self.squeeze(hidden_BH))).float().sigmoid()

    def _scores(self, wide_PD: Tensor) -> tuple[Tensor, Tensor]:
        """Return assignment and attention, in one product: two would each have a gradient as large as the moments."""
        layers = (self.assignment, self.attention)
        weight, bias = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
        scores_PS = functional.linear(wide_PD, weight, bias).float()
        assigned_PK, attended_PG = scores_PS.split([layer.out_features for layer in layers], dim=1)
        return assigned_PK.unflatten(1, (self.groups, -1)), attended_PG


class ContextGating(nn.Module):
    """Each value times what all of them say of it: y = sigmoid(W x + b) x, Miech et al. (arXiv:1706.06905)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gate = nn.Linear(size, size)

    def forward(self, x_BH: Tensor) -> Tensor:
        """Return gated values in float32."""
        return x_BH * self.gate(x_BH).float().sigmoid()


class TemporalConvolution(Pooling):
    """Layers of a convolution over time, one filter a channel, each of which sees twice as far as the one before.

    As in Bai, Kolter and Koltun, "An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
    Modeling" (arXiv:1803.01271), but looking ahead as well as back, and light: a filter a channel, then a layer that
    mixes the channels. Then the mean and the highest over time.
    """

    def __init__(self, features: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.narrow = nn.Linear(features, hidden)
        self.layers = nn.ModuleList(ConvolutionLayer(hidden, 2**layer, dropout) for layer in range(layers))
        self.size = 2 * hidden

    def forward(self, moments: Ragged) -> Tensor:
        """Return means and highest values, side by side."""
        x_PH = self.narrow(moments.values_PF)
        for layer in self.layers:
            x_PH = layer(moments.with_values(x_PH))
        return torch.cat([moments.means(x_PH), moments.highest(x_PH)], dim=1)


class ConvolutionLayer(nn.Module):
    """A residual layer: normalised, a filter over time for each channel, then a mix of the channels."""

    def __init__(self, size: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.steps = [dilation * (step - KERNEL // 2) for step in range(KERNEL)]
        bound = 1 / math.sqrt(KERNEL)
        self.filter_weight = nn.Parameter(torch.empty(KERNEL, size).uniform_(-bound, bound))
        self.mix = nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, moments: Ragged) -> Tensor:
        """Return x_PH, in which no video has seen another: what lies outside of it counts as 0."""
        normed_PH = self.norm(moments.values_PF)
        seen_PH = torch.zeros_like(normed_PH)
        for step, weight_H in zip(self.steps, self.filter_weight, strict=True):
            # Weighted before they are moved: moved ones would be kept for the gradient, at each step as much memory.
            seen_PH = seen_PH + moments.with_values(normed_PH * weight_H).shifted(step)
        return moments.values_PF + self.dropout(self.mix(functional.gelu(seen_PH)))


def context_windows(count: int, before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each of `count` moments which ones lie around it, one after the other, and their offsets."""
    first = np.maximum(np.arange(count) - before, 0)
    last = np.minimum(np.arange(count) + after + 1, count)
    windows: Sequence[NDArray[np.int64]] = [np.arange(start, stop) for start, stop in zip(first, last, strict=True)]
    return np.concatenate(windows), np.cumsum([0, *(last - first)], dtype=np.int64)
