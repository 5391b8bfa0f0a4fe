"""A shard's bytes, all of one moment."""

import os
from itertools import cycle
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from tasks.contracts.errors import DatasetError
from tasks.records.reading import MAX_BYTES, read_shard


def test_content_is_read_into_a_buffer_on_a_page(tmp_path: Path) -> None:
    path = tmp_path / "traina0.tfrecord"
    for size in (10, 5_000_000, 3000):  # grows, then serves smaller shards as well
        content = np.random.default_rng(size).bytes(size)
        path.write_bytes(content)
        data = read_shard(path, size)
        assert data.tobytes() == content
        assert data.ctypes.data % os.sysconf("SC_PAGESIZE") == 0


def test_a_missing_shard(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no shard .*traina0.tfrecord. Fetch it with `reelsift shards download`"):
        read_shard(tmp_path / "traina0.tfrecord")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is a folder, not a shard"):
        read_shard(tmp_path)


def test_an_empty_shard(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(DatasetError, match="is empty"):
        read_shard(tmp_path / "a")


def test_a_shard_of_another_size_than_was_checked(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(DatasetError, match="has 5 bytes, and had 4 when it was checked"):
        read_shard(tmp_path / "a", 4)


def test_a_file_that_is_too_big_for_a_shard(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DatasetError, match=f"a shard has at most {MAX_BYTES}"):
        read_shard(tmp_path / "a")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_shard_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").touch(mode=0o000)
    with pytest.raises(DatasetError, match="cannot be read: Permission denied"):
        read_shard(tmp_path / "a")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path, stop = tmp_path / "a", Event()
    path.write_bytes(b"x" * 3_000_000)

    def keep_changing() -> None:
        for size in cycle((1_000_000, 3_000_000)):
            if stop.is_set():
                return
            os.truncate(path, size)

    def keep_reading() -> None:
        for _ in range(5000):
            read_shard(path)

    thread = Thread(target=keep_changing)
    thread.start()
    try:
        with pytest.raises(DatasetError, match="changed while it was read"):
            keep_reading()
    finally:
        stop.set()
        thread.join()
