"""Which videos of a dataset version are learnt from, and which are judged on."""

import hashlib
from collections.abc import Collection

import numpy as np

from tasks.contracts.datasets import DatasetManifest, ShardTally
from tasks.contracts.errors import DatasetError
from tasks.datasets.load import Videos, load_videos, once, split_by_id, video_ids
from tasks.datasets.manifest import Dataset

TRAIN, VALIDATE = "train", "validate"
DIGEST_BYTES = 16
HELD_OUT = 0.2  # share of the videos to judge on, where a version has a single split


def training_splits(dataset: Dataset) -> tuple[Videos, Videos]:
    """Return the videos to learn from and those to judge on.

    They are the version's splits `train` and `validate`; a version with a single split, whatever its name, gives
    a fifth of its videos to the judgement, chosen by their ids. No video is twice in them: one that is learnt from is
    not judged on.

    Raises:
        DatasetError: the version has several splits, but not these two; or it has no other videos to judge on than
            those to learn from.
    """
    names = set(dataset.manifest.splits)
    if {TRAIN, VALIDATE} <= names:
        train = once(load_videos(dataset, TRAIN))
        return train, _held_out(dataset, set(train.video_ids))
    if len(names) == 1:
        return split_by_id(once(load_videos(dataset, names.pop())), HELD_OUT)
    raise DatasetError(
        f"Dataset {dataset.manifest.id} has the splits {', '.join(sorted(names))}: training needs {TRAIN} and "
        f"{VALIDATE}, or a single one. `reelsift dataset build --partition video/train --partition video/validate`"
    )


def frozen_split(dataset: Dataset) -> Videos:
    """Return the videos that every candidate of a version is judged on.

    Raises:
        DatasetError: as `training_splits`.
    """
    splits = dataset.manifest.splits
    if VALIDATE in splits:
        return _held_out(dataset, video_ids(dataset, TRAIN) if TRAIN in splits else set())
    return training_splits(dataset)[1]


def all_videos(dataset: Dataset) -> Videos:
    """Return every video of a version once, whatever its split."""
    return once(_joined([load_videos(dataset, split) for split in dataset.manifest.splits]))


def learnt_shards(own: DatasetManifest, judged: DatasetManifest) -> tuple[ShardTally, ...]:
    """Return the shards of `judged` that a model of `own` has learnt from, told by their content."""
    learnt = own.splits.get(TRAIN)  # None: a single split, of which a fifth of the videos was held out
    md5s = {shard.md5 for shard in own.shards if learnt in (None, shard.partition)}
    return tuple(shard for shard in judged.shards if shard.md5 in md5s)


def _held_out(dataset: Dataset, learnt: Collection[str]) -> Videos:
    """Return the validation videos that are not among those learnt from."""
    videos = load_videos(dataset, VALIDATE)
    held_out = once(videos, learnt)
    if videos.is_match.any() and not held_out.is_match.any():
        raise DatasetError(
            f"All {np.count_nonzero(videos.is_match):,} matching videos of the {VALIDATE} split of "
            f"{dataset.manifest.reference} are in its {TRAIN} split too: nothing is left to judge on. "
            "`reelsift dataset build` from shards of which none is in both partitions"
        )
    return held_out


def _joined(splits: list[Videos]) -> Videos:
    counts = [np.diff(videos.label_offsets) for videos in splits]
    return Videos(
        video_ids=np.concatenate([videos.video_ids for videos in splits]),
        features=np.concatenate([videos.features for videos in splits]),
        label_offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))]),
        label_ids=np.concatenate([videos.label_ids for videos in splits]),
        is_match=np.concatenate([videos.is_match for videos in splits]),
    )


def split_digest(videos: Videos) -> str:
    """Return `blake2b:` and 32 hex digits over the videos' ids, labels, features and matches, in their order."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    digest.update("\n".join(videos.video_ids).encode())
    for array in (videos.label_offsets, videos.label_ids, videos.is_match, videos.features):
        digest.update(array.tobytes() if not array.flags.c_contiguous else array.data)
    return f"blake2b:{digest.hexdigest()}"
