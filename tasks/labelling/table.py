"""`labels.parquet`: the best labels of every sampled frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.contracts.columns import numbers, texts
from tasks.labelling.scores import SecondScores

SCHEMA = pa.schema(
    [
        pa.field("time_s", pa.float64(), nullable=False),
        pa.field("label_id", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("smoothed", pa.float32(), nullable=False),
    ]
)
SEVERAL = SCHEMA.append(pa.field("model", pa.string(), nullable=False))  # where several models were asked
MOMENTS_A_GROUP = 1024  # bounds the memory of a group of rows


@dataclass(frozen=True)
class ModelScores:
    """What one model says of T sampled frames, and which of its L labels are kept of all of them."""

    model: str
    scored: SecondScores
    smoothed: NDArray[np.float32]  # (T, L)
    labels: Sequence[tuple[int, str]]  # (L,)
    always: frozenset[int]  # ids


def write_table(path: Path, models: Sequence[ModelScores], *, best: int) -> None:
    """Write each sampled frame's `best` labels by smoothed score, and those with an id in `always`, best first.

    Of several models, the rows of one follow those of the other, and a further column names the model.
    """
    schema = SCHEMA if len(models) == 1 else SEVERAL
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for each in models:
            for columns in _groups(each, best):
                names = [texts([each.model] * len(columns[0]))] if schema is SEVERAL else []
                writer.write_batch(pa.RecordBatch.from_arrays([*columns, *names], schema=schema))


def _groups(each: ModelScores, best: int) -> Iterator[list[pa.Array]]:
    """Yield the columns of a model's rows, those of some frames at a time."""
    ids = np.array([label_id for label_id, _ in each.labels], np.int32)
    names = [name for _, name in each.labels]
    kept_always = np.isin(ids, list(each.always))
    for first in range(0, len(each.smoothed), MOMENTS_A_GROUP):
        group = slice(first, first + MOMENTS_A_GROUP)
        rows, columns = _chosen(each.smoothed[group], ids, best, kept_always)
        yield [
            numbers(each.scored.times_s[group][rows], pa.float64()),
            numbers(ids[columns], pa.int32()),
            texts([names[column] for column in columns]),
            numbers(each.scored.scores[group][rows, columns], pa.float32()),
            numbers(each.smoothed[group][rows, columns], pa.float32()),
        ]


def best_labels(scores: NDArray[np.float32], ids: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Return the columns of the best `count` of scores (…, L) as (…, count), best first, of equal ones the lower id."""
    by_id = np.argsort(ids, kind="stable")
    best = np.argsort(-scores[..., by_id], axis=-1, kind="stable")[..., :count]
    return by_id[best]


def _chosen(
    smoothed: NDArray[np.float32], ids: NDArray[np.int32], best: int, always: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of what is kept, by row, then by falling score, then by label."""
    kept = np.broadcast_to(always, smoothed.shape).copy()
    np.put_along_axis(kept, best_labels(smoothed, ids, best), values=True, axis=1)
    rows, columns = np.nonzero(kept)
    order = np.lexsort((ids[columns], -smoothed[rows, columns], rows))
    return rows[order], columns[order]
