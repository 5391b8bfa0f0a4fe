"""Which videos of a dataset version are learnt from, and which are judged on.

In: a dataset version. Out: its training and its validation videos, or all of them. Does not know of models.
"""

import numpy as np

from tasks.contracts.errors import DatasetError
from tasks.datasets.load import Videos, load_videos, split_by_id
from tasks.datasets.manifest import Dataset

TRAIN, VALIDATE = "train", "validate"
HELD_OUT = 0.2  # share of the videos to judge on, where a version has a single split


def training_splits(dataset: Dataset) -> tuple[Videos, Videos]:
    """Return the videos to learn from and those to judge on.

    They are the version's splits `train` and `validate`; a version with a single split, whatever its name, gives
    a fifth of its videos to the judgement, chosen by their ids.

    Raises:
        DatasetError: the version has several splits, but not these two.
    """
    names = set(dataset.manifest.splits)
    if {TRAIN, VALIDATE} <= names:
        return load_videos(dataset, TRAIN), load_videos(dataset, VALIDATE)
    if len(names) == 1:
        return split_by_id(load_videos(dataset, names.pop()), HELD_OUT)
    raise DatasetError(
        f"Dataset {dataset.manifest.id} has the splits {', '.join(sorted(names))}: training needs {TRAIN} and "
        f"{VALIDATE}, or a single one. `reelsift dataset build --partition video/train --partition video/validate`"
    )


def frozen_split(dataset: Dataset) -> Videos:
    """Return the videos that every candidate of a version is judged on.

    Raises:
        DatasetError: as `training_splits`.
    """
    if VALIDATE in dataset.manifest.splits:
        return load_videos(dataset, VALIDATE)
    return training_splits(dataset)[1]


def all_videos(dataset: Dataset) -> Videos:
    """Return every video of a version, whatever its split."""
    return _joined([load_videos(dataset, split) for split in dataset.manifest.splits])


def _joined(splits: list[Videos]) -> Videos:
    counts = [np.diff(videos.label_offsets) for videos in splits]
    return Videos(
        video_ids=np.concatenate([videos.video_ids for videos in splits]),
        features=np.concatenate([videos.features for videos in splits]),
        label_offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))]),
        label_ids=np.concatenate([videos.label_ids for videos in splits]),
        is_match=np.concatenate([videos.is_match for videos in splits]),
    )
