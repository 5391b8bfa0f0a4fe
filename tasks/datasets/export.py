"""A dataset version → one file in the format that another tool wants.

In: a dataset, a destination. Out: a CSV, JSON Lines, Parquet or NumPy file, which appears whole or not at
all; memory is bounded by a batch of rows, however large the version. Does not select or change rows.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.errors import DatasetError
from tasks.contracts.files import appearing
from tasks.contracts.text import in_csv
from tasks.datasets.folders import in_use, writing
from tasks.datasets.manifest import Dataset
from tasks.datasets.npz import write_npz
from tasks.datasets.rows import BATCH_ROWS, COLUMN_TYPES, label_lists, read_batches
from tasks.datasets.verify import parts_checked

COLUMNS = tuple(COLUMN_TYPES)
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
        DatasetError: the format is unknown, or `destination` exists and `force` is not given.
        DamagedDatasetError: a part cannot be read, or differs from its digest.
        DiskSpaceError: the disk is full.
    """
    if file_format not in list(ExportFormat):
        choices = ", ".join(ExportFormat)
        raise DatasetError(f"No export format {str(file_format)!r}. There are: {choices}")
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
        for split, batch in _batches(dataset, COLUMNS):
            for row in batch.to_pylist():
                row |= {"label_names": _named(row["labels"], names), "split": split}
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def _write_parquet(dataset: Dataset, path: Path, names: Mapping[int, str]) -> None:
    schema = pq.read_schema(dataset.paths()[0]).append(pa.field("split", COLUMN_TYPES["shard"], nullable=False))
    name_lists = pa.list_(pa.field("element", pa.string(), nullable=False))
    schema = schema.append(pa.field("label_names", name_lists, nullable=False))
    # The same encodings as in the parts: they are what makes floats of this kind small and quick to read.
    floats = {f"{column}.list.element": "BYTE_STREAM_SPLIT" for column in ("mean_rgb", "mean_audio")}
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=["shard", "split", "label_names.list.element"],  # pyright: ignore[reportArgumentType] - its stubs know only the flag
        column_encoding=floats,
        write_statistics=False,
    ) as writer:
        for split, batch in _batches(dataset, COLUMNS, ROW_GROUP_ROWS):
            splits = pa.array([split] * batch.num_rows).dictionary_encode()
            named = pa.array([_named(ids, names) for ids in batch.column("labels").to_pylist()], name_lists)
            writer.write_batch(pa.record_batch([*batch.columns, splits, named], schema=schema))


def _batches(dataset: Dataset, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[tuple[str, pa.RecordBatch]]:
    for part in dataset.manifest.parts:
        for batch in read_batches(dataset.folder / part.name, columns, rows):
            yield part.split, batch


def _named(label_ids: Sequence[int], names: Mapping[int, str]) -> list[str]:
    return [names.get(label, str(label)) for label in label_ids]


WRITERS: Mapping[ExportFormat, Callable[[Dataset, Path, Mapping[int, str]], None]] = {
    ExportFormat.CSV: _write_csv,
    ExportFormat.JSONL: _write_jsonl,
    ExportFormat.PARQUET: _write_parquet,
    ExportFormat.NPZ: write_npz,
}
