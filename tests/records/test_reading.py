"""A shard's bytes, all of one moment."""

import gzip
import os
import zlib
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path
from threading import Event, Thread

import google_crc32c
import numpy as np
import pytest

from tasks.contracts.errors import DatasetError
from tasks.records.reading import MAX_BYTES, is_compressed, read_shard


def test_content_is_read_into_a_buffer_on_a_page(tmp_path: Path) -> None:
    path = tmp_path / "traina0.tfrecord"
    for size in (10, 5_000_000, 3000):  # grows, then serves smaller shards as well
        content = np.random.default_rng(size).bytes(size)
        path.write_bytes(content)
        data, fault = read_shard(path, size)
        assert not fault
        assert data.tobytes() == content
        assert data.ctypes.data % os.sysconf("SC_PAGESIZE") == 0


def test_a_missing_shard(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no shard .*traina0.tfrecord. Fetch it with `reelsift shards download`"):
        read_shard(tmp_path / "traina0.tfrecord")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is a folder, not a shard"):
        read_shard(tmp_path)


def test_an_empty_shard_has_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert read_shard(tmp_path / "a").data.size == 0


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, partial(zlib.compress, level=0)])
def test_a_compressed_shard_is_read_as_it_was_before(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    content = np.random.default_rng(1).integers(0, 4, 300_000, np.uint8).tobytes()
    for packed in (pack(content), pack(content[:70_000]) + pack(content[70_000:])):
        (tmp_path / "a").write_bytes(packed)
        data, fault = read_shard(tmp_path / "a")
        assert (data.tobytes(), fault) == (content, "")


def test_of_a_compressed_shard_what_is_whole_is_read_and_the_fault_named(tmp_path: Path) -> None:
    content = np.random.default_rng(1).integers(0, 4, 900_000, np.uint8).tobytes()
    packed = gzip.compress(content)
    (tmp_path / "a").write_bytes(packed[:-100_000])
    data, fault = read_shard(tmp_path / "a")
    assert fault == "the compressed stream is cut off"
    assert len(data) > 100_000
    assert content.startswith(data.tobytes())
    (tmp_path / "a").write_bytes(packed[:-8] + b"12345678")  # the checksum
    assert read_shard(tmp_path / "a").fault == "the compressed stream is damaged"


@pytest.mark.parametrize("length", [0x8B1F, 0x00088B1F, 0x9C78, 0x0178])
def test_a_frame_whose_length_looks_like_a_compressed_stream_is_none(length: int) -> None:
    header = length.to_bytes(8, "little")
    crc = google_crc32c.value(header)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert not is_compressed(header + masked.to_bytes(4, "little"))


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
