"""One file out of a .tgz from a stranger.

In: an archive and the name of a member. Out: the member's bytes, in a file of ours. No other member is looked at, no
path of the archive is followed, no link is made. Does not fetch.
"""

import tarfile
import zlib
from pathlib import Path, PurePosixPath

from tasks.contracts.errors import WeightsError

LARGEST_BYTES = 2 << 30  # of a member; the largest known has 95 MB
BLOCK_BYTES = 1 << 20


def extract_member(archive: Path, member: str, destination: Path) -> None:
    """Write the regular file `member` of `archive` to `destination`.

    Raises:
        WeightsError: the archive is broken, or holds no such regular file.
    """
    try:
        with tarfile.open(archive, "r:gz") as opened:
            found = next((each for each in opened if _is_it(each, member)), None)
            if found is None:
                raise WeightsError(f"The archive {archive} holds no file {member}. Delete it and fetch it again.")
            if found.size > LARGEST_BYTES:
                raise WeightsError(f"{member} in {archive} has {found.size:,} bytes, over {LARGEST_BYTES:,}: refused.")
            source = opened.extractfile(found)
            assert source is not None  # regular files have content
            with destination.open("wb") as file:
                while block := source.read(BLOCK_BYTES):
                    file.write(block)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise WeightsError(f"The archive {archive} cannot be read: {error}. Delete it and fetch it again.") from error


def _is_it(entry: tarfile.TarInfo, member: str) -> bool:
    """Only a regular file of that very name counts: a link, or the same name in another folder, does not."""
    return entry.isfile() and PurePosixPath(entry.name) == PurePosixPath(member)
