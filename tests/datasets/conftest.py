"""Folders and versions that the tests of datasets share."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tasks.datasets.catalogue import open_dataset
from tasks.datasets.manifest import Dataset
from tests.datasets.made import LONG, Folders, make_part, make_parts


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(store=tmp_path / "store", root=tmp_path / "datasets")


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`, to which nothing can be linked."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has but one file system to write to")
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def dataset(folders: Folders) -> Dataset:
    """A version of two train parts of 12 rows (8 matches) and one validate part of 6 rows (4 matches)."""
    manifest = folders.publish(make_parts(folders.store))
    return open_dataset(folders.root, manifest.id)


@pytest.fixture(scope="session")
def long_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A version of one part of more rows than are read at once; read it, do not change it."""
    folder = tmp_path_factory.mktemp("long")
    folders = Folders(store=folder / "store", root=folder / "datasets")
    manifest = folders.publish([make_part(folders.store, ["trainaa.tfrecord"], rows=LONG)])
    return open_dataset(folders.root, manifest.id)
