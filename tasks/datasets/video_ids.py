"""The ids of the videos in a dataset version: which stand there twice, and what they look like.

In: Parquet parts by split. Out: sets of ids, and what is odd about them. Does not look at features.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tasks.contracts.artifacts import Oddities
from tasks.datasets.caveats import ID_LENGTH
from tasks.datasets.rows import read_batches

BATCH_ROWS = 1 << 16  # only the ids are read


def video_ids(paths: Sequence[Path]) -> set[str]:
    """Return the ids of all videos in some parts."""
    return set(_ids(paths).to_pylist())


def find_oddities(parts: Mapping[str, Sequence[Path]], *, expected_length: int = ID_LENGTH) -> Oddities | None:
    """Return what is odd about the videos of a version; None where each stands there once and has a usual id.

    `parts` are the Parquet files by split.
    """
    by_split = {split: _ids(paths) for split, paths in parts.items()}
    distinct = {split: len(ids.unique()) for split, ids in by_split.items()}
    chunks = [chunk for ids in by_split.values() for chunk in ids.chunks]
    everywhere = len(pa.chunked_array(chunks, pa.string()).unique())
    oddities = Oddities(
        repeated={split: len(ids) - distinct[split] for split, ids in by_split.items() if len(ids) > distinct[split]},
        shared=sum(distinct.values()) - everywhere,
        id_lengths=_lengths(chunks),
    )
    is_usual = not oddities.repeated and not oddities.shared and set(oddities.id_lengths) <= {expected_length}
    return None if is_usual else oddities


def _ids(paths: Sequence[Path]) -> pa.ChunkedArray:
    batches = (batch for path in paths for batch in read_batches(path, ("video_id",), BATCH_ROWS))
    return pa.chunked_array([batch.column("video_id") for batch in batches], pa.string())


def _lengths(chunks: Sequence[pa.Array]) -> dict[int, int]:
    lengths = pc.call_function("utf8_length", [pa.chunked_array(chunks, pa.string())])
    counts = lengths.value_counts().to_pylist()
    return dict(sorted((int(each["values"]), int(each["counts"])) for each in counts))
