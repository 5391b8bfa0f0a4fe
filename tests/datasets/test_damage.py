"""A bit that flipped on the disk, or an end that is missing, is told by every reader: never a wrong answer."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reelsift.results import DatasetVersion
from tasks.classifier.splits import all_videos, frozen_split
from tasks.contracts.errors import DamagedDatasetError
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.export import ExportFormat, export
from tasks.datasets.load import load_videos
from tasks.datasets.manifest import MANIFEST_NAME, Dataset, read_manifest

READERS: dict[str, Callable[[Dataset, Path], object]] = {
    "load": lambda dataset, _: load_videos(dataset, "train"),
    "judge": lambda dataset, _: frozen_split(dataset),
    "evaluate": lambda dataset, _: all_videos(dataset),
    "pandas": lambda dataset, _: DatasetVersion(dataset, None).to_pandas(features=True),  # type: ignore[arg-type]
    **{
        f"export {kind}": lambda dataset, folder, kind=kind: export(dataset, folder / f"a.{kind}", kind, force=True)
        for kind in ExportFormat
    },
}
PLACES = ("head", "ids", "labels", "features", "dictionary", "footer", "tail", "cut")


def _damage(path: Path, place: str, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    row_group = pq.read_metadata(path).row_group(0)
    columns = {row_group.column(number).path_in_schema.split(".")[0]: row_group.column(number) for number in range(6)}

    def page(column: str) -> range:
        chunk = columns[column]
        begin = chunk.dictionary_page_offset or chunk.data_page_offset
        return range(begin, begin + chunk.total_compressed_size)

    within = {
        "head": range(4),
        "ids": page("video_id"),
        "labels": page("labels"),
        "features": page("mean_rgb"),
        "dictionary": page("shard"),
        "footer": range(footer, len(content) - 8),
        "tail": range(len(content) - 8, len(content)),
        "cut": range(len(content)),
    }
    at = rng.choice(within[place])
    content[at] ^= 1 << rng.randrange(8)
    path.chmod(0o644)
    path.write_bytes(content[:at] if place == "cut" else content)


@pytest.mark.parametrize("place", PLACES)
def test_no_reader_takes_a_damaged_part(dataset: Dataset, tmp_path: Path, place: str) -> None:
    rng, path = random.Random(place), dataset.paths("train")[1]
    whole = path.read_bytes()
    for name, read in READERS.items():
        _damage(path, place, rng)
        with pytest.raises(DamagedDatasetError) as refused:
            read(dataset, tmp_path)
        words = str(refused.value)
        assert path.name in words, name
        assert "\n" not in words
        assert "`reelsift dataset " in words  # what to do
        path.write_bytes(whole)
    assert not [made for made in tmp_path.iterdir() if made.name.startswith("a.")]


def test_no_bit_of_a_manifest_flips_unseen(dataset: Dataset) -> None:
    path = dataset.folder / MANIFEST_NAME
    content = path.read_bytes()
    path.chmod(0o644)
    places = range(0, len(content), 7)
    for at in places:
        flipped = bytearray(content)
        flipped[at] ^= 1 << (at // 7) % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedDatasetError, match=rf"{MANIFEST_NAME}.*`reelsift dataset build`.* repairs it$"):
            read_manifest(dataset.folder)
    for size in range(0, len(content) - 1, 301):
        path.write_bytes(content[:size])
        with pytest.raises(DamagedDatasetError, match=MANIFEST_NAME):
            read_manifest(dataset.folder)


def test_a_manifest_of_an_earlier_release_has_no_digest_and_is_read(dataset: Dataset) -> None:
    path = dataset.folder / MANIFEST_NAME
    first, digest, *rest = path.read_text(encoding="utf-8").split("\n")
    assert digest.startswith('"digest": "')
    path.chmod(0o644)
    path.write_text("\n".join([first, *rest]), encoding="utf-8")
    assert open_dataset(dataset.folder.parents[1], "latest").manifest == dataset.manifest
