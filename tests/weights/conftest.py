"""A store, and a server that has what its table names."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.weights.config import WeightsEntry
from tasks.weights.store import WeightsStore
from tests.shards.conftest import noise
from tests.support.mirror_server import MirrorServer

CONTENT = noise(200_000, 1)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
MEAN, VALUES = noise(5_000, 2), noise(7_000, 3)


def entry(url: str, file_name: str, **known: object) -> WeightsEntry:
    return WeightsEntry.model_validate(
        {"file_name": file_name, "urls": (url,), "licence": "Apache-2.0", "used_for": "tests"} | known
    )


def write_tgz(path: Path, members: dict[str, bytes]) -> Path:
    """Write an archive of plain files."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The server's folder: a plain file, and an archive of two."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(CONTENT)
    write_tgz(folder / "pca.tgz", {"readme": b"hello", "./mean.npy": MEAN, "values.npy": VALUES})
    return folder


@pytest.fixture
def server(served: Path) -> Iterator[MirrorServer]:
    with MirrorServer(served) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path, server: MirrorServer) -> WeightsStore:
    archive = f"{server.url}/pca.tgz"
    return WeightsStore(
        folder=tmp_path / "home",
        table={
            "net": entry(f"{server.url}/net.onnx", "net.onnx", sha256=DIGEST, size_bytes=len(CONTENT)),
            "unknown": entry(f"{server.url}/net.onnx", "unknown.onnx"),
            "mean": entry(archive, "mean.npy", archive_member="mean.npy"),
            "values": entry(archive, "values.npy", archive_member="values.npy"),
        },
    )
