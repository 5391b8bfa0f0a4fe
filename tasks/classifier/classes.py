"""Videos of one label each: the figures of a classification, beside those of YouTube-8M.

Equal scores count against the model, as in `tasks.classifier.metrics`: a video's own label comes last among equals.

Shapes: N videos, L labels.
"""

# ruff: noqa: N803, N806, N815 - capitals at the end of a tensor's name are its axes, as in the legend above.

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.classifier.metrics import BestPairs
from tasks.datasets.load import Videos

TOP_K = 5


@dataclass(frozen=True)
class ClassMetrics:
    """How often the best label, or one of the five best, is a video's own; and which are taken for which."""

    label_ids: tuple[int, ...]  # ascending: all that the videos have or a model knows
    top_1: float
    top_5: float
    confusion_LL: NDArray[np.int64]  # videos by their own label (rows) and the one that was predicted (columns)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of a label's videos, the share that was found; NaN where it has none."""
        return _shares(self.confusion_LL.diagonal(), self.confusion_LL.sum(axis=1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of the videos that were given a label, the share that has it; NaN where none was."""
        return _shares(self.confusion_LL.diagonal(), self.confusion_LL.sum(axis=0))

    def named(self) -> dict[str, float]:
        """Return the figures under the names that they are logged by."""
        return {"top_1": self.top_1, "top_5": self.top_5}

    def rows(self, names: dict[int, str]) -> list[dict[str, object]]:
        """Return a row for each label: its name, how many videos have it, precision and recall (None: undefined)."""
        columns = zip(self.label_ids, self.confusion_LL.sum(axis=1), self.precision, self.recall, strict=True)
        return [
            {
                "label_id": label,
                "name": names.get(label, str(label)),
                "videos": int(videos),
                "precision": None if np.isnan(precision) else float(precision),
                "recall": None if np.isnan(recall) else float(recall),
            }
            for label, videos, precision, recall in columns
        ]


def has_one_label_each(videos: Videos) -> bool:
    """Say whether each matching video has exactly one label, and there are two labels at least."""
    counts = np.diff(videos.label_offsets)[videos.is_match]
    matching = videos.label_ids[np.repeat(videos.is_match, np.diff(videos.label_offsets))]
    return len(counts) > 0 and bool((counts == 1).all()) and len(np.unique(matching)) > 1


def class_metrics(pairs: BestPairs, own_N: NDArray[np.int64], label_ids: tuple[int, ...]) -> ClassMetrics:
    """Judge the best pairs, five a video at least, of videos whose own labels stand in the columns `own_N`."""
    rank_N = np.where(pairs.hits_NK.any(axis=1), pairs.hits_NK.argmax(axis=1), len(label_ids))
    confusion_LL = np.zeros((len(label_ids),) * 2, np.int64)
    np.add.at(confusion_LL, (own_N, pairs.labels_NK[:, 0]), 1)
    return ClassMetrics(
        label_ids=label_ids,
        top_1=float((rank_N < 1).mean()),
        top_5=float((rank_N < TOP_K).mean()),
        confusion_LL=confusion_LL,
    )


def _shares(hits_L: NDArray[np.int64], of_L: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(hits_L, of_L, out=np.full(len(of_L), np.nan), where=of_L > 0)
