"""Videos of a dataset version as tensors that stay in memory for the whole training.

Shapes: N videos, B videos of a batch, F = 1152 features, L labels.
"""

# ruff: noqa: N815 - capitals at the end of a tensor's name are its axes, as in the legend above.

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.contracts.errors import TrainingError
from tasks.datasets.load import Videos


@dataclass(frozen=True)
class Examples:
    """Videos to learn from or to judge on. `features_NF` is raw: normalising is part of the model."""

    features_NF: Tensor  # float32
    targets_NL: Tensor  # uint8, 0 or 1
    is_match_N: Tensor  # bool

    def __len__(self) -> int:
        """Return how many videos there are."""
        return len(self.is_match_N)

    def split(self, rows: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield features_BF, targets_BL and is_match_B of `rows` videos at a time, in order."""
        return zip(self.features_NF.split(rows), self.targets_NL.split(rows), self.is_match_N.split(rows), strict=True)


def kept_labels(videos: Videos, *, min_positives: int, always: tuple[int, ...]) -> tuple[int, ...]:
    """Return the ids of labels with at least `min_positives` among the matching videos, and `always`; ascending."""
    matching = videos.label_ids[np.repeat(videos.is_match, np.diff(videos.label_offsets))]
    ids, counts = np.unique(matching, return_counts=True)
    return tuple(sorted({*ids[counts >= min_positives].tolist(), *always}))


def multi_hot(videos: Videos, label_ids: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return targets (n, L): 1 where a video has the label of that column. Other labels are left out."""
    columns = np.full(max(*label_ids, int(videos.label_ids.max(initial=0))) + 1, -1)
    columns[list(label_ids)] = np.arange(len(label_ids))
    column = columns[videos.label_ids]
    row = np.repeat(np.arange(len(videos)), np.diff(videos.label_offsets))
    targets = np.zeros((len(videos), len(label_ids)), np.uint8)
    targets[row[column >= 0], column[column >= 0]] = 1
    return targets


def examples(videos: Videos, label_ids: tuple[int, ...], device: torch.device, *, matches_only: bool) -> Examples:
    """Return the videos as tensors on the device; features that are there already are shared, not copied."""
    chosen = videos.take(videos.is_match) if matches_only and not videos.is_match.all() else videos
    return Examples(
        features_NF=torch.from_numpy(chosen.features).to(device),
        targets_NL=torch.from_numpy(multi_hot(chosen, label_ids)).to(device),
        is_match_N=torch.from_numpy(chosen.is_match).to(device),
    )


def chosen_device(name: str) -> torch.device:
    """Return the device of `auto`, `cpu` or `cuda`.

    Raises:
        TrainingError: cuda was asked for and there is no GPU that torch can use.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("No GPU that torch can use, but device 'cuda' was asked for. Choose 'auto' or 'cpu'.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
