"""Which labels the matching videos of a version have, and which come together.

In: Parquet parts by split, names of labels. Out: counts by label and split, and the co-occurrence of the
commonest. Does not look at background videos or features.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.artifacts import Cooccurrence, LabelCount
from tasks.datasets.rows import flags, label_lists, read_batches

COMMONEST = 30
BATCH_ROWS = 1 << 16  # only a few labels a row are read


def count_labels(parts: Mapping[str, Sequence[Path]], names: Mapping[int, str]) -> tuple[LabelCount, ...]:
    """Return in how many matching videos of each split each label occurs, the commonest first.

    `parts` are the Parquet files by split. A label without a name in `names` is named by its index.
    """
    by_split = {split: _count(paths) for split, paths in parts.items()}
    total = sum(by_split.values(), Counter[int]())
    return tuple(
        LabelCount(
            index=index,
            name=names.get(index, str(index)),
            by_split={split: by_split[split][index] for split in sorted(by_split)},
        )
        for index, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))
    )


def count_cooccurrence(paths: Sequence[Path], counts: Sequence[LabelCount]) -> Cooccurrence:
    """Return in how many matching videos two labels occur together, for the commonest of `counts`."""
    chosen = np.array([count.index for count in counts[:COMMONEST]], np.int64)
    ascending = np.argsort(chosen)
    together = np.zeros((len(chosen), len(chosen)), np.int64)
    for videos, labels in _matching(paths):
        place = ascending[np.searchsorted(chosen, labels, sorter=ascending).clip(max=len(chosen) - 1)]
        known = chosen[place] == labels
        has_label = np.zeros((BATCH_ROWS, len(chosen)), np.float32)
        has_label[videos[known], place[known]] = 1
        together += (has_label.T @ has_label).astype(np.int64)  # exact: a batch has fewer than 2^24 videos
    return Cooccurrence(label_ids=tuple(chosen.tolist()), counts=tuple(map(tuple, together.tolist())))


def _count(paths: Sequence[Path]) -> Counter[int]:
    counter = Counter[int]()
    for _, labels in _matching(paths):
        ids, counts = np.unique(labels, return_counts=True)
        counter.update(dict(zip(ids.tolist(), counts.tolist(), strict=True)))
    return counter


def _matching(paths: Sequence[Path]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield, a batch at a time, the row and the label of each label of a matching video, no pair twice."""
    for path in paths:
        for batch in read_batches(path, ("labels", "is_match"), BATCH_ROWS):
            offsets, labels = label_lists(batch)
            rows = np.repeat(np.arange(batch.num_rows), np.diff(offsets))
            pairs = np.unique((rows << 32 | labels)[flags(batch)[rows]])
            yield pairs >> 32, pairs & 0xFFFFFFFF
