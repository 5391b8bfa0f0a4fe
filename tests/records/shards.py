"""Shards of full-sized records, as a mirror would have them."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.datasets import PlannedShard, Shard
from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.synthetic import encode_example
from tests.records.framing import frames


def vectors(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(RGB_SIZE, dtype=np.float32), rng.standard_normal(AUDIO_SIZE, dtype=np.float32)


def record(video_id: bytes, labels: Sequence[int], seed: int = 0) -> bytes:
    return encode_example(video_id, labels, *vectors(seed))


def shard_of(path: Path, payloads: Iterable[bytes]) -> Shard:
    return shard_with(path, frames(payloads))


def shard_with(path: Path, content: bytes) -> Shard:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Shard(name=path.name, partition="video/train", md5=md5, size_bytes=len(content), path=path)


def planned(shard: Shard) -> PlannedShard:
    return PlannedShard(name=shard.name, partition=shard.partition, md5=shard.md5)
