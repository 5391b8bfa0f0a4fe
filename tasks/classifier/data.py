"""Videos of a dataset version as batches of tensors: of whole videos, which stay in memory, or of their moments.

Shapes: N videos, B videos of a batch, F features, L labels, P pairs of a video and a label that it has.
"""

# ruff: noqa: N803, N806, N815 - capitals at the end of a tensor's name are its axes, as in the legend above.

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.classifier.sequence import VIDEOS_AT_ONCE, Ragged
from tasks.contracts.errors import TrainingError
from tasks.datasets.load import Videos
from tasks.datasets.moments import Moments

SAMPLED = 256  # videos from whose moments the scaling is learnt
SAMPLED_MOMENTS = 64  # of each of them, evenly spread
CPU_FACTS = Path("/proc/cpuinfo")  # of Linux; elsewhere the processor is taken to have no such units


@dataclass(frozen=True)
class Targets:
    """Which of L labels each of N videos has, sparse: dense they would outweigh the features.

    The labels of row i are `columns[offsets[i]:offsets[i + 1]]`, none of them twice.
    """

    offsets: Tensor  # int64, (N + 1,)
    columns: Tensor  # int32
    labels: int

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.offsets) - 1

    def dense(self, rows_B: Tensor) -> Tensor:
        """Return the targets_BL of some rows: 1 where a video has the label, as uint8."""
        first_B = self.offsets[rows_B]
        counts_B = self.offsets[rows_B + 1] - first_B
        row_P = torch.repeat_interleave(torch.arange(len(rows_B), device=rows_B.device), counts_B)
        place_P = torch.arange(len(row_P), device=rows_B.device) + (first_B - counts_B.cumsum(0) + counts_B)[row_P]
        targets_BL = torch.zeros((len(rows_B), self.labels), dtype=torch.uint8, device=rows_B.device)
        targets_BL[row_P, self.columns[place_P].long()] = 1
        return targets_BL

    def to(self, device: torch.device) -> "Targets":
        """Return the same on a device."""
        return Targets(self.offsets.to(device), self.columns.to(device), self.labels)


@dataclass(frozen=True)
class LabelledVideos:
    """What is to be learnt of videos, whichever features they have."""

    targets: Targets
    is_match_N: Tensor  # bool

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.is_match_N)

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        return self.is_match_N.device


@dataclass(frozen=True)
class Examples(LabelledVideos):
    """Videos to learn from or to judge on. The features are raw: normalising is part of the model.

    They stay as they were loaded, and where they were where a GPU has no room for them; batches are float32, on the
    device of the targets.
    """

    features_NF: Tensor  # float32 or float16

    def batch(self, rows_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features_BF, targets_BL and is_match_B of some rows."""
        features_BF = self.features_NF[rows_B.to(self.features_NF.device)].to(self.device).float()
        rows_B = rows_B.to(self.device)
        return features_BF, self.targets.dense(rows_B), self.is_match_N[rows_B]

    def split(self, rows: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield features_BF, targets_BL and is_match_B of `rows` videos at a time, in order."""
        return map(self.batch, torch.arange(len(self)).split(rows))

    def shuffled(self, rows: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the same of all videos in a new order."""
        return map(self.batch, torch.randperm(len(self)).split(rows))

    def sample(self) -> Tensor:
        """Return raw features to learn the scaling from: all of them."""
        return self.features_NF


@dataclass(frozen=True)
class SequenceExamples(LabelledVideos):
    """Videos to learn from or to judge on, by their moments, which are read from the disk where they are too many."""

    moments: Moments

    def split(self, rows: int) -> Iterator[tuple[Ragged, Tensor, Tensor]]:
        """Yield raw moments, targets_BL and is_match_B of `rows` videos at most at a time, in order."""
        return self._batches(torch.arange(len(self)).split(min(rows, VIDEOS_AT_ONCE)))

    def shuffled(self, rows: int) -> Iterator[tuple[Ragged, Tensor, Tensor]]:
        """Yield the same of all videos in a new order, which PyTorch's generator decides."""
        seed = int(torch.randint(2**31, ()))
        return self._batches(torch.from_numpy(self.moments.shuffled(np.random.default_rng(seed))).split(rows))

    def sample(self) -> Tensor:
        """Return raw moments to learn the scaling from: those of some videos, evenly spread."""
        places = np.arange(len(self)) if len(self) <= SAMPLED else np.arange(SAMPLED) * len(self) // SAMPLED
        found = self.moments.take(places)
        return Ragged.of(found.values, found.offsets, torch.device("cpu"), most=SAMPLED_MOMENTS).values_PF

    def _batches(self, rows: Sequence[Tensor]) -> Iterator[tuple[Ragged, Tensor, Tensor]]:
        read = self.moments.batches(rows_B.numpy() for rows_B in rows)
        for rows_B, found in zip((each.to(self.device) for each in rows), read, strict=True):
            moments = Ragged.of(found.values, found.offsets, self.device)
            yield moments, self.targets.dense(rows_B), self.is_match_N[rows_B]


def kept_labels(videos: Videos, *, min_positives: int, always: tuple[int, ...]) -> tuple[int, ...]:
    """Return the ids of labels with at least `min_positives` among the matching videos, and `always`; ascending."""
    matching = videos.label_ids[np.repeat(videos.is_match, np.diff(videos.label_offsets))]
    ids, counts = np.unique(matching, return_counts=True)
    return tuple(sorted({*ids[counts >= min_positives].tolist(), *always}))


def sparse_targets(videos: Videos, label_ids: tuple[int, ...]) -> Targets:
    """Return which labels the videos have, in the columns of `label_ids`. Other labels are left out."""
    found = videos.labels_among(label_ids)
    return Targets(torch.from_numpy(found.offsets), torch.from_numpy(found.columns), found.labels)


def multi_hot(videos: Videos, label_ids: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return targets (n, L) of a few videos: 1 where a video has the label of that column."""
    return sparse_targets(videos, label_ids).dense(torch.arange(len(videos))).numpy()


ROOM_SHARE = 0.5  # of a GPU's free memory: the rest is for the model and its batches


def examples(videos: Videos, label_ids: tuple[int, ...], device: torch.device, *, matches_only: bool) -> Examples:
    """Return the videos as tensors on the device; features that are there already are shared, not copied."""
    chosen = videos.matches() if matches_only else videos
    features_NF = torch.from_numpy(chosen.features)
    if device.type == "cuda" and features_NF.nbytes < ROOM_SHARE * torch.cuda.mem_get_info(device)[0]:
        features_NF = features_NF.to(device)
    return Examples(
        features_NF=features_NF,
        targets=sparse_targets(chosen, label_ids).to(device),
        is_match_N=torch.from_numpy(chosen.is_match).to(device),
    )


def sequence_examples(
    videos: Videos, label_ids: tuple[int, ...], device: torch.device, *, matches_only: bool
) -> SequenceExamples:
    """Return the moments of videos that have some, ready for batches on the device."""
    chosen = videos.matches() if matches_only else videos
    assert chosen.moments is not None, "the caller has checked that there are some"
    return SequenceExamples(
        moments=chosen.moments,
        targets=sparse_targets(chosen, label_ids).to(device),
        is_match_N=torch.from_numpy(chosen.is_match).to(device),
    )


def multiplies_halves(device: torch.device) -> bool:
    """Say whether a device has units for bfloat16: a GPU, or a processor with AMX or the AVX-512 instructions for it.

    With these products are six times and twice as fast.
    """
    if device.type == "cuda":
        return True
    with suppress(OSError):
        facts = CPU_FACTS.read_text(encoding="utf-8")
        return any(units in facts for units in ("amx_bf16", "avx512_bf16"))
    return False


def chosen_device(name: str) -> torch.device:
    """Return the device of `auto`, `cpu` or `cuda`.

    Raises:
        TrainingError: cuda was asked for and there is no GPU that torch can use.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("No GPU that torch can use, but device 'cuda' was asked for. Choose 'auto' or 'cpu'.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
