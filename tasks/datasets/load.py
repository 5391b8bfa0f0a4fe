"""A dataset version → arrays to train on.

In: a dataset and a split. Out: `Videos`, checked and ready to be put on a device. Does not normalise the
features or choose labels: the classifier does.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.artifacts import FEATURE_SIZE, RGB_SIZE, PartFile
from tasks.contracts.errors import DatasetError
from tasks.datasets.folders import in_use
from tasks.datasets.manifest import Dataset, damaged
from tasks.datasets.rows import flags, float_rows, label_lists, read_batches, row_count
from tasks.datasets.verify import parts_checked

COLUMNS = ("video_id", "labels", "mean_rgb", "mean_audio", "is_match")


@dataclass(frozen=True)
class Videos:
    """The rows of a split as arrays; n rows, and all their labels one after the other.

    The labels of row i are `label_ids[label_offsets[i]:label_offsets[i + 1]]`.
    """

    video_ids: NDArray[np.object_]  # (n,) str
    features: NDArray[np.float32]  # (n, 1152): mean_rgb, then mean_audio, as stored
    label_offsets: NDArray[np.int64]  # (n + 1,)
    label_ids: NDArray[np.int32]  # (label_offsets[-1],)
    is_match: NDArray[np.bool_]  # (n,): False for background videos

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        rows = len(self.video_ids)
        labels = int(self.label_offsets[-1]) if self.label_offsets.size else 0
        wanted = {
            "features": (rows, FEATURE_SIZE),
            "label_offsets": (rows + 1,),
            "label_ids": (labels,),
            "is_match": (rows,),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise DatasetError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.video_ids)

    def take(self, chosen: NDArray[np.bool_]) -> Self:
        """Return the rows where `chosen` (n,) is true, in their order."""
        counts = np.diff(self.label_offsets)
        return type(self)(
            video_ids=self.video_ids[chosen],
            features=self.features[chosen],
            label_offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts[chosen])]),
            label_ids=self.label_ids[np.repeat(chosen, counts)],
            is_match=self.is_match[chosen],
        )


def load_videos(dataset: Dataset, split: str) -> Videos:
    """Read a split into memory: the features once, 4.6 KB a row.

    Raises:
        DatasetError: the version has no such split.
        DamagedDatasetError: a part does not hold what the manifest promises, or differs from its digest.
    """
    with in_use(dataset.folder), parts_checked(dataset, split):
        return _loaded(dataset, split)


def _loaded(dataset: Dataset, split: str) -> Videos:
    rows = sum(_checked_rows(dataset.folder, part) for part in dataset.parts(split))
    ids = np.empty(rows, np.object_)
    features = np.empty((rows, FEATURE_SIZE), np.float32)
    is_match = np.empty(rows, np.bool_)
    counts, labels = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)]
    begin = 0
    for batch in (batch for path in dataset.paths(split) for batch in read_batches(path, COLUMNS)):
        here = slice(begin, begin + batch.num_rows)
        ids[here] = batch.column("video_id").to_numpy(zero_copy_only=False)
        features[here, :RGB_SIZE] = float_rows(batch, "mean_rgb")
        features[here, RGB_SIZE:] = float_rows(batch, "mean_audio")
        is_match[here] = flags(batch)
        offsets, ids_here = label_lists(batch)
        counts.append(np.diff(offsets))
        labels.append(ids_here)
        begin = here.stop
    return Videos(ids, features, np.cumsum(np.concatenate(counts)), np.concatenate(labels), is_match)


def once(videos: Videos, besides: Collection[str] = ()) -> Videos:
    """Return the videos without those that stand there before, and without those whose ids are in `besides`."""
    if not besides and len(set(videos.video_ids)) == len(videos):
        return videos
    seen, chosen = set(besides), np.zeros(len(videos), np.bool_)
    for row, video_id in enumerate(videos.video_ids):
        chosen[row] = video_id not in seen
        seen.add(video_id)
    return videos if chosen.all() else videos.take(chosen)


def split_by_id(videos: Videos, fraction: float = 0.2) -> tuple[Videos, Videos]:
    """Hold out about `fraction` of the videos; return the others, then these.

    Each video's id alone decides, so the same video is held out on any machine and in any version.

    Raises:
        DatasetError: there are too few videos for both.
    """
    if not 0 < fraction < 1:
        raise DatasetError(f"The fraction to hold out must lie between 0 and 1, got {fraction}")
    limit = int(fraction * 2**64)
    held_out = np.fromiter((_hash64(video_id) < limit for video_id in videos.video_ids), np.bool_, len(videos))
    if not 0 < np.count_nonzero(held_out) < len(videos):
        raise DatasetError(
            f"{len(videos):,} videos are too few to hold {fraction:.0%} of them out. "
            "`reelsift dataset build` with more shards, or with a validate partition"
        )
    return videos.take(~held_out), videos.take(held_out)


def _checked_rows(folder: Path, part: PartFile) -> int:
    """Return the rows of a part, which its file and the manifest must agree on: arrays are sized by them."""
    rows = row_count(folder / part.name)
    if rows != part.rows:
        raise damaged(folder, f"{part.name} has {rows:,} rows, the manifest says {part.rows:,}")
    return rows


def _hash64(video_id: str) -> int:
    """Return a number below 2^64 that is the same in every process, unlike `hash`."""
    return int.from_bytes(hashlib.blake2b(video_id.encode(), digest_size=8).digest(), "little")
