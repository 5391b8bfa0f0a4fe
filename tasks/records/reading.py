"""A shard's bytes in memory, all of one moment; a compressed shard's as they were before.

In: a path. Out: a uint8 array of TFRecord frames, and what was wrong with the compressed stream. Does not know of
records.
"""

import mmap
import os
import threading
import zlib
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import DatasetError
from tasks.records.crc32c import MASK_DELTA

MAX_BYTES = (1 << 31) - 1  # a frame-level shard has about 0.4 GB; with this, 32-bit offsets never overflow
HEADER_BYTES = 12  # of a frame: its length, and the checksum of that
PACKED_BYTES = 1 << 16  # decompressed at a time: what is lost where the stream is damaged
CUT_STREAM = "the compressed stream is cut off"
BROKEN_STREAM = "the compressed stream is damaged"
ANY_WRAPPER = 32 + zlib.MAX_WBITS  # GZIP or ZLIB, as the stream says
FETCH = "Fetch it again: delete it and run `reelsift shards download`."

_buffers = threading.local()


class ShardBytes(NamedTuple):
    """The frames of a shard as uint8, valid until this thread reads its next shard."""

    data: NDArray[np.uint8]
    fault: str = ""  # why a compressed stream ended before its end, in words that are the same on every machine


def read_shard(path: Path, size_bytes: int | None = None) -> ShardBytes:
    """Return the content of `path`, decompressed where TensorFlow wrote it with `GZIP` or `ZLIB`.

    Args:
        path: a TFRecord file.
        size_bytes: the size that it had when it was checked, where that is known.

    Raises:
        DatasetError: the file is missing, a folder, too big, or changes while it is read.
    """
    try:
        with FileIO(path) as file:
            data = _read(file, path, size_bytes)
        if is_compressed(data[:HEADER_BYTES].tobytes()):
            return _decompressed(data.tobytes(), path)
        return ShardBytes(data)
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


def is_compressed(header: bytes) -> bool:
    """Say whether a file that begins so is a GZIP or ZLIB stream, and not TFRecord frames.

    A frame begins with its length and the checksum of that, which a compressed stream has there by chance alone.
    """
    is_gzip = header[:3] == b"\x1f\x8b\x08"
    if len(header) < HEADER_BYTES:
        return is_gzip
    is_zlib = header[0] & 0x8F == 0x08 and int.from_bytes(header[:2], "big") % 31 == 0  # RFC 1950
    if not is_gzip and not is_zlib:
        return False
    crc = google_crc32c.value(header[:8])
    masked = ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF
    return masked != int.from_bytes(header[8:], "little")


def _decompressed(packed: bytes, path: Path) -> ShardBytes:
    """Decompress a stream, or several one after the other, as far as they are whole.

    Raises:
        DatasetError: it grows beyond what a shard may be.
    """
    content, at, stream, fault = bytearray(), 0, zlib.decompressobj(ANY_WRAPPER), ""
    try:
        while at < len(packed):
            if stream.eof:
                stream = zlib.decompressobj(ANY_WRAPPER)
            content += stream.decompress(packed[at : at + PACKED_BYTES])
            at = min(at + PACKED_BYTES, len(packed)) - len(stream.unused_data)
            if len(content) > MAX_BYTES:
                raise DatasetError(f"The shard {path} decompresses to more than {MAX_BYTES} bytes. {FETCH}")
    except zlib.error:
        fault = BROKEN_STREAM
    if not fault and not stream.eof:
        fault = CUT_STREAM
    return ShardBytes(np.frombuffer(content, np.uint8), fault)


def _buffer(size: int) -> NDArray[np.uint8]:
    """Return this thread's own buffer, which starts on a page: reading into another runs several times slower.

    Read rather than mapped, as a file that changes under a map would change between being checked and being copied.
    """
    if size == 0:
        return np.empty(0, np.uint8)
    held: NDArray[np.uint8] | None = getattr(_buffers, "data", None)
    if held is None or held.size < size:
        _buffers.data = None  # let go of the old one first
        private = mmap.mmap(-1, size + size // 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        held = _buffers.data = np.frombuffer(private, np.uint8)
    return held[:size]
