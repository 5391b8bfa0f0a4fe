"""Shards read into memory: as a whole, or with frames a few records at a time; decompressed where they are packed."""

import mmap
import os
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import DatasetError
from tasks.records.kernels.crc32c import MASK_DELTA
from tasks.records.kernels.wire import Bytes

MAX_BYTES = (1 << 31) - 1  # a frame-level shard has about 0.4 GB; with this, 32-bit offsets never overflow
HEADER_BYTES = 12  # of a frame: its length, and the checksum of that
PACKED_BYTES = 1 << 16  # decompressed at a time: what is lost where the stream is damaged
READ_BYTES = 1 << 20  # at a time, and judged at once, from the processor's cache: three times as fast as from memory
PIECE_BYTES = 1 << 23  # of a shard of frames at a time, judged and copied from the cache
KEPT_BYTES = 1 << 20  # of it, for a record that goes on in the next piece; one of 300 frames has a third of that
CUT_STREAM = "the compressed stream is cut off"
BROKEN_STREAM = "the compressed stream is damaged"
ANY_WRAPPER = 32 + zlib.MAX_WBITS  # GZIP or ZLIB, as the stream says
FETCH = "Fetch it again: delete it and run `reelsift shards download`."


class ShardBytes(NamedTuple):
    """The frames of a shard as uint8, valid as long as the room that they were read into."""

    data: NDArray[np.uint8]
    fault: str = ""  # why a compressed stream ended before its end, in words that are the same on every machine


Look = Callable[[Bytes, int], object]


def read_shard(path: Path, size_bytes: int | None = None, look: Look = lambda *_: None) -> ShardBytes:
    """Return the content of `path`, decompressed where TensorFlow wrote it with `GZIP` or `ZLIB`.

    Args:
        path: a TFRecord file.
        size_bytes: the size that it had when it was checked, where that is known.
        look: is given the content and how many bytes of it are there by now, each time that there are more.

    Raises:
        DatasetError: the file is missing, a folder, too big, or changes while it is read.
    """
    with opened_shard(path, size_bytes) as opened:
        data, done = _own.room(opened.size)[: opened.size], 0
        while done < opened.size and (count := opened.file.readinto(data[done : done + READ_BYTES].data)):
            done += count
            if not opened.is_packed:
                look(data, done)
        if done != opened.size:
            raise opened.changed
    if not opened.is_packed:
        return ShardBytes(data)
    unpacked = _decompressed(data.tobytes(), path)
    look(unpacked.data, unpacked.data.size)
    return unpacked


class Opened(NamedTuple):
    """A shard that is open."""

    file: FileIO
    path: Path
    size: int
    is_packed: bool  # compressed as a whole

    @property
    def changed(self) -> DatasetError:
        """What is wrong where it is not what it was any more."""
        return DatasetError(f"The shard {self.path} changed while it was read ({self.size} bytes at first). {FETCH}")


@contextmanager
def opened_shard(path: Path, size_bytes: int | None) -> Iterator[Opened]:
    """Open a shard that is as it was when it was checked, and see that it stays so.

    Raises:
        DatasetError: as `read_shard` raises it.
    """
    try:
        with FileIO(path) as file:
            before = os.fstat(file.fileno())
            size = before.st_size
            if size_bytes is not None and size != size_bytes:
                was = f"has {size} bytes, and had {size_bytes} when it was checked"
                raise DatasetError(f"The shard {path} {was}. {FETCH}")
            if size > MAX_BYTES:
                raise DatasetError(f"The file {path} has {size} bytes; a shard has at most {MAX_BYTES}. {FETCH}")
            opened = Opened(file, path, size, is_compressed(os.pread(file.fileno(), HEADER_BYTES, 0)))
            yield opened
            after = os.fstat(file.fileno())
            if (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
                raise opened.changed
    except FileNotFoundError as error:
        raise DatasetError(f"There is no shard {path}. Fetch it with `reelsift shards download`.") from error
    except IsADirectoryError as error:
        raise DatasetError(f"{path} is a folder, not a shard. {FETCH}") from error
    except OSError as error:
        raise DatasetError(f"The shard {path} cannot be read: {error.strerror}. {FETCH}") from error


@dataclass
class Piece:
    """Part of a shard in memory, until the next one: `ready` bytes are there, and the records from `at` on are new."""

    data: Bytes  # larger than `ready` as long as more is to come
    ready: int
    at: int = 0  # moved on by who judges the records
    offset: int = 0  # of `data[0]` in the file; below 0 where nothing is at first
    fault: str = ""  # as that of `ShardBytes`


def pieces(opened: Opened) -> Iterator[Piece]:
    """Yield a shard from its start, of which a few records are in memory at a time; a compressed one as a whole.

    What is left of a piece, a record that goes on in the next one, stands before that one.
    """
    file, _, size, is_packed = opened
    file.seek(0)
    if is_packed:
        data, fault = _decompressed(file.read(), opened.path)
        yield Piece(data, data.size, fault=fault)
        return
    before, done, room = KEPT_BYTES, 0, _lent()  # before what is read, which stands on a page
    piece = Piece(room, before, before)
    while done < size and piece.at <= piece.ready:  # else nothing more can be found
        left = room[piece.at : piece.ready]
        if left.size > before:
            before = (1 + 2 * left.size // mmap.PAGESIZE) * mmap.PAGESIZE
            room = _mapped(before + PIECE_BYTES + mmap.PAGESIZE)
        room[before - left.size : before] = left
        count = file.readinto(room[before : before + PIECE_BYTES].data)
        if not count:
            raise opened.changed
        ready, done = before + count, done + count
        piece = Piece(room if done < size else room[:ready], ready, before - left.size, done - ready)
        yield piece
    if before == KEPT_BYTES:
        _spare.append(room)


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


def _mapped(size: int) -> Bytes:
    """Return room for a shard, which starts on a page: reading into another runs several times slower."""
    # Read rather than mapped, as a file that changes under a map would change between being checked and being copied.
    private = mmap.mmap(-1, size + size // 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(private, np.uint8)


_spare: deque[Bytes] = deque(maxlen=2)  # rooms for pieces of the next shards of frames


def _lent() -> Bytes:
    """Return room for a piece that is the caller's, as others are read in the same thread meanwhile."""
    with suppress(IndexError):
        return _spare.pop()
    return _mapped(KEPT_BYTES + PIECE_BYTES + mmap.PAGESIZE)


class _Own(threading.local):
    """Room that a thread uses again for its next shard: memory that is new each time is mapped and zeroed each time."""

    def __init__(self) -> None:
        self._room = np.empty(0, np.uint8)

    def room(self, size: int) -> Bytes:
        """Return room for a shard, until this is called again."""
        if self._room.size < size:
            self._room = np.empty(0, np.uint8)  # let go of the old one first
            self._room = _mapped(size)
        return self._room


_own = _Own()
