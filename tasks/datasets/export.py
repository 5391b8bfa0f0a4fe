"""A dataset version exported to one file in the format of another tool."""

import csv
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import DTypeLike, NDArray

from tasks.contracts.columns import FRAME_LISTS
from tasks.contracts.errors import DatasetError
from tasks.contracts.files import appearing
from tasks.contracts.text import in_csv
from tasks.datasets.folders import in_use, writing
from tasks.datasets.frames import Ratings
from tasks.datasets.load import (
    BATCH_ROWS,
    FRAME_BATCH_ROWS,
    SHARD_TYPE,
    column_types,
    flags,
    float_rows,
    label_lists,
    read_batches,
)
from tasks.datasets.manifest import Dataset, parts_checked
from tasks.datasets.moments import frame_rows


def write_npz(dataset: Dataset, path: Path, names: Mapping[int, str]) -> None:
    """Write `video_ids`, `features`, `label_offsets`, `label_ids`, `is_match` and `splits`; `Videos` describes them.

    `vocabulary_ids`, rising, and `vocabulary_names` name each label that occurs, by its index where it has no name:
    `vocabulary_names[np.searchsorted(vocabulary_ids, label_ids)]` are the names of all labels.

    Of a version that holds frames, `rgb`, `audio` and `frame_offsets` stand for `features`, as `FrameBatch` describes
    them, and what people said of segments in `segment_offsets` and `segment_*`, as `Ratings` does.
    """
    rows = dataset.manifest.rows
    is_frames = dataset.manifest.level == "frame"
    width = max((max(map(len, _ids(batch).tolist())) for batch in _all_batches(dataset, "video_id")), default=1)
    labels = sum(label_lists(batch)[1].size for batch in _all_batches(dataset, "labels"))
    with zipfile.ZipFile(path, "w") as archive:
        _add(archive, "video_ids", f"<U{max(width, 1)}", (rows,), map(_ids, _all_batches(dataset, "video_id")))
        if is_frames:
            _add_frames(archive, dataset)
        else:
            _add(archive, "features", "<f4", (rows, dataset.manifest.space.size), _features(dataset))
        _add(archive, "label_offsets", "<i8", (rows + 1,), _offsets(dataset, "labels"))
        _add(
            archive, "label_ids", "<i4", (labels,), (label_lists(batch)[1] for batch in _all_batches(dataset, "labels"))
        )
        _add(archive, "is_match", "?", (rows,), map(flags, _all_batches(dataset, "is_match")))
        splits = (np.full(part.rows, part.split) for part in dataset.manifest.parts)
        occurring = (label_lists(batch)[1].tolist() for batch in _all_batches(dataset, "labels"))
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


def _add_frames(archive: zipfile.ZipFile, dataset: Dataset) -> None:
    counts = dataset.manifest.frames
    assert counts is not None, "a version that holds frames counts them"
    rows, frames, rated = dataset.manifest.rows, sum(counts.frames.values()), sum(counts.rated.values())
    for name, kind in FRAME_LISTS.items():
        shape = (frames, kind.value_type.byte_width)
        _add(archive, name, "u1", shape, (frame_rows(batch, name) for batch in _all_batches(dataset, name)))
    _add(archive, "frame_offsets", "<i8", (rows + 1,), _offsets(dataset, "audio"))
    _add(archive, "segment_offsets", "<i8", (rows + 1,), _offsets(dataset, "segments"))
    for name, kind in (("start_s", "<i4"), ("end_s", "<i4"), ("label", "<i4"), ("score", "<f4")):
        values = (getattr(Ratings.of(batch), name) for batch in _all_batches(dataset, "segments"))
        _add(archive, f"segment_{name}", kind, (rated,), values)


def _all_batches(dataset: Dataset, *columns: str) -> Iterator[pa.RecordBatch]:
    for _, batch in _batches(dataset, columns):
        yield batch


def _ids(batch: pa.RecordBatch) -> NDArray[np.object_]:
    return np.array(batch.column("video_id").to_pylist(), np.object_)


def _features(dataset: Dataset) -> Iterator[NDArray[np.float32]]:
    modalities = tuple(dataset.manifest.space.slices)
    for batch in _all_batches(dataset, *modalities):
        yield np.hstack([float_rows(batch, name) for name in modalities])


def _offsets(dataset: Dataset, column: str) -> Iterator[NDArray[np.int64]]:
    """Yield where the lists of all rows begin, when they stand end to end."""
    begin = np.zeros(1, np.int64)
    yield begin
    for batch in _all_batches(dataset, column):
        offsets = np.from_dlpack(batch.column(column).offsets).astype(np.int64)
        ends = begin + offsets[1:] - offsets[0]
        yield ends
        begin = ends[-1:]


ROW_GROUP_ROWS = 4096  # of an exported Parquet file: 19 MB of features
LABEL_SEPARATOR = "|"  # no name of the vocabulary has one; many have commas and semicolons


class ExportFormat(StrEnum):
    """A format to export to."""

    CSV = "csv"  # video_id, labels by name, split, shard, is_match; no features
    JSONL = "jsonl"  # an object a row, features included
    PARQUET = "parquet"  # the parts' columns, `split` and `label_names`, in one file
    NPZ = "npz"  # the arrays of `Videos`, `splits`, and the names of the labels; opens without pickle


def export(
    dataset: Dataset,
    destination: Path,
    file_format: ExportFormat | str,
    *,
    names: Mapping[int, str] | None = None,
    force: bool = False,
) -> Path:
    """Write all rows of a version to one file and return its path.

    Args:
        dataset: the version.
        destination: the file to make.
        file_format: one of `ExportFormat`.
        names: names of labels by index; without it, only those that matching videos have. Where any label that occurs
            has no name, all are shown by their indices.
        force: overwrite what is there.

    Raises:
        DatasetError: the format is unknown or has no room for frames, or `destination` exists and `force` is not given.
        DamagedDatasetError: a part cannot be read, or differs from its digest.
        DiskSpaceError: the disk is full.
    """
    if file_format not in list(ExportFormat):
        choices = ", ".join(ExportFormat)
        raise DatasetError(f"No export format {str(file_format)!r}. There are: {choices}")
    if file_format == ExportFormat.JSONL and dataset.manifest.level == "frame":
        raise DatasetError(
            f"Dataset {dataset.manifest.reference} holds the frames of videos, which jsonl has no room for. "
            "`--format parquet` and npz keep them, and `reelsift dataset means` makes a version of whole videos"
        )
    if destination.is_dir() or (destination.exists() and not force):
        advice = "Name a file in it" if destination.is_dir() else "`--force` overwrites it"
        raise DatasetError(f"{destination} exists already. {advice}")
    known = names_of(dataset, names or {})
    writer = WRITERS[ExportFormat(file_format)]
    with (
        in_use(dataset.folder),
        writing(str(destination), destination.parent),
        appearing(destination) as temporary,
        parts_checked(dataset),  # within: a file of damaged rows does not appear
    ):
        writer(dataset, temporary, known)
    return destination


def names_of(dataset: Dataset, names: Mapping[int, str]) -> dict[int, str]:
    """Return a name for each label that occurs in any row, or nothing where one has none: no mixture is of use."""
    known = {label.index: label.name for label in dataset.manifest.label_counts} | dict(names)
    occurring = (label_lists(batch)[1] for _, batch in _batches(dataset, ("labels",)))
    return known if all(known.keys() >= set(labels.tolist()) for labels in occurring) else {}


def _write_csv(dataset: Dataset, path: Path, names: Mapping[int, str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["video_id", "labels", "split", "shard", "is_match"])
        for split, batch in _batches(dataset, ("video_id", "labels", "shard", "is_match")):
            columns = batch.to_pydict()
            labels = (in_csv(LABEL_SEPARATOR.join(_named(ids, names))) for ids in columns["labels"])
            flags = (str(flag).lower() for flag in columns["is_match"])
            splits = [split] * batch.num_rows
            ids, shards = map(in_csv, columns["video_id"]), map(in_csv, columns["shard"])
            writer.writerows(zip(ids, labels, splits, shards, flags, strict=True))


def _write_jsonl(dataset: Dataset, path: Path, names: Mapping[int, str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for split, batch in _batches(dataset, _columns(dataset)):
            for row in batch.to_pylist():
                row |= {"label_names": _named(row["labels"], names), "split": split}
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def _write_parquet(dataset: Dataset, path: Path, names: Mapping[int, str]) -> None:
    found = pq.read_schema(dataset.paths()[0])
    schema = pa.schema([found.field(column) for column in _columns(dataset)])  # without the features of each second
    schema = schema.append(pa.field("split", SHARD_TYPE, nullable=False))
    name_lists = pa.list_(pa.field("element", pa.string(), nullable=False))
    schema = schema.append(pa.field("label_names", name_lists, nullable=False))
    # The same encodings as in the parts: they are what makes floats of this kind small and quick to read.
    columns = _columns(dataset)
    floats = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in dataset.manifest.space.slices if name in columns}
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=["shard", "split", "label_names.list.element"],  # pyright: ignore[reportArgumentType] - its stubs know only the flag
        column_encoding=floats or None,
        write_statistics=False,
    ) as writer:
        for split, batch in _batches(dataset, columns, ROW_GROUP_ROWS):
            splits = pa.array([split] * batch.num_rows).dictionary_encode()
            named = pa.array([_named(ids, names) for ids in batch.column("labels").to_pylist()], name_lists)
            writer.write_batch(pa.record_batch([*batch.columns, splits, named], schema=schema))


def _columns(dataset: Dataset) -> tuple[str, ...]:
    return tuple(column_types(dataset.manifest.space, dataset.manifest.level))


def _batches(dataset: Dataset, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[tuple[str, pa.RecordBatch]]:
    manifest = dataset.manifest
    rows = FRAME_BATCH_ROWS if set(columns) & FRAME_LISTS.keys() else rows
    for part in manifest.parts:
        path = dataset.folder / part.name
        for batch in read_batches(path, columns, rows, space=manifest.space, level=manifest.level):
            yield part.split, batch


def _named(label_ids: Sequence[int], names: Mapping[int, str]) -> list[str]:
    return [names.get(label, str(label)) for label in label_ids]


WRITERS: Mapping[ExportFormat, Callable[[Dataset, Path, Mapping[int, str]], None]] = {
    ExportFormat.CSV: _write_csv,
    ExportFormat.JSONL: _write_jsonl,
    ExportFormat.PARQUET: _write_parquet,
    ExportFormat.NPZ: write_npz,
}
