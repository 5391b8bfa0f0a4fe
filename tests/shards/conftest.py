"""A small mirror of files that need not be shards, and configs that do not wait."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.contracts.datasets import PlannedShard
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import RemoteFile
from tests.support.mirror_server import MirrorServer

SHARD_BYTES = 300_000  # several reads of the client, few enough to be quick
NAMES = ("trainaa", "trainaB", "traina0", "train9H")


def write_plan(folder: Path, partition: str, shards: dict[str, bytes]) -> None:
    """Write shards of any content, and their plan, in the layout of the hosts."""
    files = {}
    for name, content in shards.items():
        path = folder / "2" / partition / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files[name] = hashlib.md5(content).hexdigest()
    plan = folder / "2" / "download_plans" / f"{partition.replace('/', '_')}.json"
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_text(json.dumps({"files": files}))


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def quick(*mirrors: str, **changes: object) -> DownloadConfig:
    """Return a config that retries at once and gives up soon."""
    settings = {
        "attempts": 3,
        "backoff_base_s": 0.0,
        "connect_timeout_s": 1.0,
        "read_timeout_s": 5.0,
        "slow_after_s": 0.5,
        "connections": 4,
        "reserve_bytes": 0,
    }
    return DownloadConfig.model_validate(settings | {"mirrors": mirrors or ("us",)} | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mirror's folder with four files that pass for shards of video/train."""
    folder = tmp_path / "mirror"
    write_plan(
        folder,
        "video/train",
        {f"{name}.tfrecord": noise(SHARD_BYTES + 1000 * number, number) for number, name in enumerate(NAMES)},
    )
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[MirrorServer]:
    with MirrorServer(folder) as server:
        yield server


@pytest.fixture
def other_server(folder: Path) -> Iterator[MirrorServer]:
    """A second mirror with the same files."""
    with MirrorServer(folder) as server:
        yield server


PATH = "2/video/train/trainaa.tfrecord"


@pytest.fixture
def content(folder: Path) -> bytes:
    """The bytes of the file at `PATH`."""
    return (folder / PATH).read_bytes()


def wanted(content: bytes, *servers: MirrorServer, path: str = PATH) -> RemoteFile:
    """Return the file at `path` of each server, with its md5."""
    sources = tuple(f"{server.url}/{path}" for server in servers)
    return RemoteFile(Path(path).name, sources, hashlib.md5(content).hexdigest())


def shards_of(folder: Path) -> tuple[PlannedShard, ...]:
    """Return what the folder's plan of video/train promises, without the code under test."""
    files = json.loads((folder / "2/download_plans/video_train.json").read_text())["files"]
    return tuple(PlannedShard(name=name, partition="video/train", md5=files[name]) for name in sorted(files))


class Heard:
    """A listener that adds up what it hears."""

    def __init__(self) -> None:
        self.totals: dict[str, list[float | None]] = {}
        self.done: dict[str, float] = {}

    def begin(self, what: str, total: float | None, unit: str) -> None:
        assert unit
        self.totals.setdefault(what, []).append(total)

    def advance(self, what: str, amount: float) -> None:
        self.done[what] = self.done.get(what, 0) + amount
