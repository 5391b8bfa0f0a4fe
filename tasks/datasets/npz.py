"""A dataset version → a NumPy archive.

In: a dataset. Out: the arrays of `Videos` and the split of each row, in an `.npz` that opens without
pickle. Writes each array a batch at a time, so that memory does not grow with the version.
"""

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from tasks.contracts.artifacts import FEATURE_SIZE
from tasks.datasets.manifest import Dataset
from tasks.datasets.rows import flags, float_rows, label_lists, read_batches


def write_npz(dataset: Dataset, path: Path, names: Mapping[int, str]) -> None:
    """Write `video_ids`, `features`, `label_offsets`, `label_ids`, `is_match` and `splits`; `Videos` describes them.

    `vocabulary_ids`, rising, and `vocabulary_names` name each label that occurs, by its index where it has no name:
    `vocabulary_names[np.searchsorted(vocabulary_ids, label_ids)]` are the names of all labels.
    """
    rows = dataset.manifest.rows
    width = max((max(map(len, _ids(batch).tolist())) for batch in _batches(dataset, "video_id")), default=1)
    labels = sum(label_lists(batch)[1].size for batch in _batches(dataset, "labels"))
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, "video_ids", f"<U{max(width, 1)}", (rows,), map(_ids, _batches(dataset, "video_id")))
        _add(archive, "features", "<f4", (rows, FEATURE_SIZE), _features(dataset))
        _add(archive, "label_offsets", "<i8", (rows + 1,), _offsets(dataset))
        _add(archive, "label_ids", "<i4", (labels,), (label_lists(batch)[1] for batch in _batches(dataset, "labels")))
        _add(archive, "is_match", "?", (rows,), map(flags, _batches(dataset, "is_match")))
        splits = (np.full(part.rows, part.split) for part in dataset.manifest.parts)
        occurring = (label_lists(batch)[1].tolist() for batch in _batches(dataset, "labels"))
        vocabulary = sorted(set().union(*occurring))
        words = [names.get(label, str(label)) for label in vocabulary]
        longest = max(map(len, words), default=1)
        _add(archive, "vocabulary_ids", "<i4", (len(words),), [np.array(vocabulary, np.int32)])
        _add(archive, "vocabulary_names", f"<U{max(longest, 1)}", (len(words),), [np.array(words, np.str_)])
        _add(archive, "splits", f"<U{max(map(len, dataset.manifest.splits))}", (rows,), splits)


def _add(
    archive: zipfile.ZipFile, name: str, dtype: DTypeLike, shape: tuple[int, ...], blocks: Iterable[NDArray[np.generic]]
) -> None:
    """Add an array to the archive, in blocks along its first axis (format: `numpy.lib.format`)."""
    kind = np.dtype(dtype)
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    # ZipInfo's default date makes the same version give the same bytes at any time.
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for block in blocks:
            member.write(np.ascontiguousarray(block, dtype=kind).tobytes())


def _batches(dataset: Dataset, *columns: str) -> Iterator[pa.RecordBatch]:
    for path in dataset.paths():
        yield from read_batches(path, columns)


def _ids(batch: pa.RecordBatch) -> NDArray[np.object_]:
    return np.array(batch.column("video_id").to_pylist(), np.object_)


def _features(dataset: Dataset) -> Iterator[NDArray[np.float32]]:
    for batch in _batches(dataset, "mean_rgb", "mean_audio"):
        yield np.hstack([float_rows(batch, "mean_rgb"), float_rows(batch, "mean_audio")])


def _offsets(dataset: Dataset) -> Iterator[NDArray[np.int64]]:
    begin = np.zeros(1, np.int64)
    yield begin
    for batch in _batches(dataset, "labels"):
        ends = begin + label_lists(batch)[0][1:]
        yield ends
        begin = ends[-1:]
