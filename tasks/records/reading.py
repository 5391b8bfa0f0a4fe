"""A shard's bytes in memory, all of one moment.

In: a path. Out: a uint8 array of the file's content. Does not know of records.
"""

import mmap
import os
import threading
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import DatasetError

MAX_BYTES = (1 << 31) - 1  # a frame-level shard has about 0.4 GB; with this, 32-bit offsets never overflow
FETCH = "Fetch it again: delete it and run `reelsift shards download`."

_buffers = threading.local()


def read_shard(path: Path, size_bytes: int | None = None) -> NDArray[np.uint8]:
    """Return the content of `path` as uint8, valid until this thread reads its next shard.

    Args:
        path: a TFRecord file.
        size_bytes: the size that it had when it was checked, where that is known.

    Raises:
        DatasetError: the file is missing, a folder, empty, too big, or changes while it is read.
    """
    try:
        with FileIO(path) as file:
            return _read(file, path, size_bytes)
    except FileNotFoundError as error:
        raise DatasetError(f"There is no shard {path}. Fetch it with `reelsift shards download`.") from error
    except IsADirectoryError as error:
        raise DatasetError(f"{path} is a folder, not a shard. {FETCH}") from error
    except OSError as error:
        raise DatasetError(f"The shard {path} cannot be read: {error.strerror}. {FETCH}") from error


def _read(file: FileIO, path: Path, size_bytes: int | None) -> NDArray[np.uint8]:
    before = os.fstat(file.fileno())
    size = before.st_size
    if size_bytes is not None and size != size_bytes:
        raise DatasetError(f"The shard {path} has {size} bytes, and had {size_bytes} when it was checked. {FETCH}")
    if size == 0:
        raise DatasetError(f"The shard {path} is empty. {FETCH}")
    if size > MAX_BYTES:
        raise DatasetError(f"The file {path} has {size} bytes; a shard has at most {MAX_BYTES}. {FETCH}")
    data = _buffer(size)
    done = 0
    while done < size and (count := file.readinto(data[done:].data)):
        done += count
    after = os.fstat(file.fileno())
    if done != size or (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
        raise DatasetError(f"The shard {path} changed while it was read ({size} bytes at first). {FETCH}")
    return data


def _buffer(size: int) -> NDArray[np.uint8]:
    """Return this thread's own buffer, which starts on a page: reading into another runs several times slower.

    Read rather than mapped, as a file that changes under a map would change between being checked and being copied.
    """
    held: NDArray[np.uint8] | None = getattr(_buffers, "data", None)
    if held is None or held.size < size:
        _buffers.data = None  # let go of the old one first
        private = mmap.mmap(-1, size + size // 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        held = _buffers.data = np.frombuffer(private, np.uint8)
    return held[:size]
