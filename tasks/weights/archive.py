"""One file out of a .tgz from a stranger.

In: an archive and the name of a member. Out: the member's bytes, in a file of ours. No other member is looked at, no
path of the archive is followed, no link is made, and no more is unpacked than weights have. Does not fetch.
"""

import gzip
import io
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from tasks.contracts.errors import WeightsError
from tasks.shards.space import disk_errors_named

LARGEST_BYTES = 1 << 30  # unpacked, of all that comes before a member's end; the largest known has 95 MB
BLOCK_BYTES = 1 << 20  # read at once; headers that want more are refused


def extract_member(archive: Path, member: str, destination: Path) -> None:
    """Write the regular file `member` of `archive` to `destination`.

    Raises:
        WeightsError: the archive is broken, holds no such regular file, or unpacks to more than it may.
        DiskSpaceError: there is no room for it.
    """
    try:
        with gzip.open(archive) as unpacked, tarfile.open(fileobj=_Bounded(unpacked), mode="r:") as opened:
            found = next((each for each in opened if _is_it(each, member)), None)
            source = opened.extractfile(found) if found else None
            if source is None:
                raise WeightsError(f"The archive {archive.name} holds no file {member}.")
            with disk_errors_named(destination), destination.open("wb") as file:
                shutil.copyfileobj(source, file, BLOCK_BYTES)
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise WeightsError(f"The archive {archive.name} cannot be read: {error}.") from error


def _is_it(entry: tarfile.TarInfo, member: str) -> bool:
    """Only a plain file of that very name counts: a link, or the same name in another folder, does not."""
    is_plain = entry.isreg() and not entry.issparse()
    return is_plain and PurePosixPath(entry.name) == PurePosixPath(member)


class _Bounded(io.RawIOBase):
    """What is unpacked of an archive, which ends in an error where there is too much of it.

    A gzip stream grows a thousandfold, and tarfile reads headers of any length that they claim into memory.
    """

    def __init__(self, unpacked: gzip.GzipFile) -> None:
        self._unpacked = unpacked

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes."""
        if size > BLOCK_BYTES + tarfile.BLOCKSIZE:
            msg = f"it has a header of {size:,} bytes"
            raise ValueError(msg)
        return self._unpacked.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which is refused beyond the bound."""
        if offset > LARGEST_BYTES:
            msg = f"it unpacks to more than {LARGEST_BYTES:,} bytes"
            raise ValueError(msg)
        return self._unpacked.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._unpacked.tell()
