"""A dataset version that another machine has published takes its place here.

In: the datasets' root, the version's name, and whoever brings its files. Out: the same folder as `publish` leaves,
checked against its manifest. Does not know where the files come from.
"""

from collections.abc import Callable
from pathlib import Path

from tasks.datasets.folders import alone, freeze, move_into_place, point, remove, temporary_beside, writing
from tasks.datasets.identity import LATEST
from tasks.datasets.manifest import MANIFEST_NAME, Dataset, damaged, read_manifest
from tasks.datasets.verify import verify


def adopt(root: Path, slug: str, version_id: str, bring: Callable[[Path], bool]) -> Dataset | None:
    """Have `bring` fill an empty folder, check what it brought, and give it its name; None where it brought nothing.

    Raises:
        DamagedDatasetError: what came is not that version, whole.
        DatasetError: it cannot be written.
        DiskSpaceError: the disk is full.
    """
    folder = root / slug / version_id
    with writing(f"Dataset {slug}/{version_id}", root), alone(root):
        aside = temporary_beside(folder) / slug / version_id  # a manifest is read in a folder of its own name
        try:
            aside.mkdir(parents=True)
            if not bring(aside):
                return None
            _check(Dataset(read_manifest(aside), aside))
            move_into_place(aside, folder)
        finally:
            remove(aside.parents[1])
    return Dataset(read_manifest(folder), folder)


def point_latest(root: Path, slug: str, version_id: str, *, of_all: bool) -> None:
    """Let `latest` of a slug mean the version, and where `of_all` says so, that of all datasets too."""
    with writing(f"The pointer to {slug}/{version_id}", root), alone(root):
        point(root / slug / LATEST, version_id)
        if of_all:
            point(root / LATEST, f"{slug}/{version_id}")


def _check(dataset: Dataset) -> None:
    """Check the files against the manifest, and make them read-only."""
    if problems := verify(dataset):
        raise damaged(dataset.folder, f"{problems[0].file}: {problems[0].detail}")
    for path in (*dataset.paths(), dataset.folder / MANIFEST_NAME):
        freeze(path)
