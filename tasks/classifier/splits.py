"""Which videos of a dataset version are learnt from, and which are judged on."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.datasets import DatasetManifest, ShardTally
from tasks.contracts.errors import DatasetError
from tasks.datasets.load import Videos, first_rows, held_out_rows, load_videos, video_ids
from tasks.datasets.manifest import Dataset

TRAIN, VALIDATE = "train", "validate"
HELD_OUT = 0.2  # share of the videos to judge on, where a version has a single split


def training_splits(dataset: Dataset, most_judged: int | None = None) -> tuple[Videos, Videos]:
    """Return the videos to learn from and those to judge on.

    They are the version's splits `train` and `validate`; a version with a single split, whatever its name, gives
    a fifth of its videos to the judgement, chosen by their ids. No video is twice in them: one that is learnt from is
    not judged on. Of those to judge on, `most_judged` are taken at most, spread evenly.

    Raises:
        DatasetError: the version has several splits, but not these two; or it has no other videos to judge on than
            those to learn from.
    """
    names = set(dataset.manifest.splits)
    if {TRAIN, VALIDATE} <= names:
        train = load_videos(dataset, TRAIN, first_rows)
        return train, _held_out(dataset, set(train.video_ids), most_judged)
    name = _single(dataset)
    train = load_videos(dataset, name, lambda ids: _single_rows(ids, held_out=False))
    return train, _held_out_of(dataset, name, most_judged)


def frozen_split(dataset: Dataset) -> Videos:
    """Return the videos that every candidate of a version is judged on.

    Raises:
        DatasetError: as `training_splits`.
    """
    splits = dataset.manifest.splits
    if VALIDATE in splits:
        return _held_out(dataset, video_ids(dataset, TRAIN) if TRAIN in splits else set())
    return _held_out_of(dataset, _single(dataset))


def _single(dataset: Dataset) -> str:
    """Return the only split of a version."""
    names = sorted(dataset.manifest.splits)
    if len(names) > 1:
        raise DatasetError(
            f"Dataset {dataset.manifest.id} has the splits {', '.join(names)}: training needs {TRAIN} and "
            f"{VALIDATE}, or a single one. `reelsift dataset build --partition video/train --partition video/validate`"
        )
    return names[0]


def _held_out_of(dataset: Dataset, split: str, most: int | None = None) -> Videos:
    return load_videos(dataset, split, lambda ids: _spread(_single_rows(ids, held_out=True), most))


def _single_rows(ids: NDArray[np.object_], *, held_out: bool) -> NDArray[np.bool_]:
    """Say which rows of a single split are judged on, or which are learnt from; each video once."""
    chosen = first_rows(ids)
    chosen[chosen] = held_out_rows(ids[chosen], HELD_OUT) == held_out
    return chosen


def _spread(chosen: NDArray[np.bool_], most: int | None) -> NDArray[np.bool_]:
    """Leave `most` rows at most of those chosen, spread evenly over them."""
    if most is None:
        return chosen
    spread = chosen.copy()
    spread[chosen] = spread_rows(int(chosen.sum()), most)
    return spread


def spread_rows(rows: int, most: int) -> NDArray[np.bool_]:
    """Return which of `rows` rows are taken (n,): all, or `most` of them, evenly spread."""
    taken = np.full(rows, rows <= most)
    if rows > most:
        taken[np.arange(most) * rows // most] = True
    return taken


def all_videos(dataset: Dataset) -> Videos:
    """Return every video of a version once, whatever its split."""
    return load_videos(dataset, choose=first_rows)


def learnt_shards(own: DatasetManifest, judged: DatasetManifest) -> tuple[ShardTally, ...]:
    """Return the shards of `judged` that a model of `own` has learnt from, told by their content."""
    learnt = own.splits.get(TRAIN)  # None: a single split, of which a fifth of the videos was held out
    md5s = {shard.md5 for shard in own.shards if learnt in (None, shard.partition)}
    return tuple(shard for shard in judged.shards if shard.md5 in md5s)


def _held_out(dataset: Dataset, learnt: Collection[str], most: int | None = None) -> Videos:
    """Return the validation videos that are not among those learnt from."""
    held_out = load_videos(dataset, VALIDATE, lambda ids: _spread(first_rows(ids, learnt), most))
    matches = sum(part.matches for part in dataset.parts(VALIDATE))
    if matches and not held_out.is_match.any():
        raise DatasetError(
            f"All {matches:,} matching videos of the {VALIDATE} split of "
            f"{dataset.manifest.reference} are in its {TRAIN} split too: nothing is left to judge on. "
            "`reelsift dataset build` from shards of which none is in both partitions"
        )
    return held_out
