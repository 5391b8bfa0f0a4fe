"""Weights fetched: resumed, verified, and extracted from untrusted archives."""

import gzip
import hashlib
import io
import shutil
import tarfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from tasks.contracts.errors import DownloadError, MissingWeightsError, WeightsError
from tasks.contracts.files import appearing, disk_errors_named, file_digest
from tasks.contracts.model import FrozenModel
from tasks.contracts.progress import Progress
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import RemoteFile
from tasks.shards.transfer import fetch_file
from tasks.weights.config import WeightsEntry
from tasks.weights.store import Receipt, Weights, WeightsStore, by_hand, find_weights, missing_weights, write_receipt

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
            raise ValueError(f"it has a header of {size:,} bytes")
        return self._unpacked.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which is refused beyond the bound."""
        if offset > LARGEST_BYTES:
            raise ValueError(f"it unpacks to more than {LARGEST_BYTES:,} bytes")
        return self._unpacked.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._unpacked.tell()


class FetchEstimate(FrozenModel):
    """What a fetch of several files would bring."""

    names: tuple[str, ...]  # files that are not here
    downloads: int  # an archive is one
    known_bytes: int  # of the addresses whose size is known
    unknown: int  # addresses whose size is not
    hosts: tuple[str, ...]


def estimate_fetch(names: Iterable[str], store: WeightsStore) -> FetchEstimate:
    """Say how much is to come for those of the names whose files are not here; an archive counts once.

    Raises:
        WeightsError: the table has no such name.
    """
    missing = missing_weights(names, store)
    addresses = {entry.urls[0]: entry.size_bytes for entry in map(store.entry, missing) if entry.urls}
    hosts = dict.fromkeys(urlsplit(address).netloc for address in addresses)
    sizes = list(addresses.values())
    return FetchEstimate(
        names=tuple(missing),
        downloads=len(sizes),
        known_bytes=sum(filter(None, sizes)),
        unknown=sizes.count(None),
        hosts=tuple(hosts),
    )


ARCHIVES = "archives"  # folder of archives, whose files are needed one by one


def fetch_weights(
    name: str, store: WeightsStore, download: DownloadConfig, progress: Progress | None = None
) -> Weights:
    """Have a file of weights here; one that is here and whole is not fetched again.

    Raises:
        MissingWeightsError: it could not be fetched; the message says how to get it by hand.
        WeightsError: the table has no such name, what is here is damaged, or the archive is not what it should be.
        DiskSpaceError: there is no room for it.
    """
    errand = _Errand(name, store.entry(name), store, download, progress)
    if store.path(name) is None and errand.entry.urls:  # else how to have it is said by what does not find it
        errand.run()
    return find_weights(name, store)


@dataclass(frozen=True)
class _Errand:
    """The fetching of one file."""

    name: str
    entry: WeightsEntry
    store: WeightsStore
    download: DownloadConfig
    progress: Progress | None

    def run(self) -> None:
        """Have the file and its receipt in the store's folder."""
        path = self.store.folder / self.entry.file_name
        if self.entry.archive_member:
            write_receipt(path, self._unpack(self.entry.archive_member, path))
            _drop_archive(_archive_path(self.entry, self.store), self.entry, self.store)
        else:
            write_receipt(path, Receipt(url=self.entry.urls[0], sha256=self._come(path)))

    def _unpack(self, member: str, path: Path) -> Receipt:
        """Fetch the archive, unless it is here for the sake of another file, and take one file out of it."""
        archive = _archive_path(self.entry, self.store)
        digest = file_digest(archive) if archive.is_file() else self._come(archive)
        try:
            with appearing(path) as temporary:
                extract_member(archive, member, temporary)
        except WeightsError as error:
            archive.unlink(missing_ok=True)  # else it would be taken for good the next time
            raise WeightsError(
                f"The weights {self.name} are not in what {self.entry.urls[0]} sends: {error} It has been deleted: try "
                f"again, or {by_hand(self.entry, self.store)}"
            ) from error
        return Receipt(url=self.entry.urls[0], sha256=file_digest(path), archive_sha256=digest)

    def _come(self, destination: Path) -> str:
        """Bring what the address gives to a place, and return its sha256."""
        entry = self.entry
        remote = RemoteFile(f"weights {self.name}", entry.urls, entry.whole_sha256, "sha256", entry.size_bytes)
        try:
            digest = fetch_file(remote, destination, self.download, self.progress).digest
        except DownloadError as error:
            again = "What has come is kept: try again" if entry.whole_sha256 else "Try again"
            raise MissingWeightsError(
                f"The weights {self.name} could not be fetched: {_cause(error)} {again} (`reelsift weights fetch "
                f"{self.name}`), or get {' or '.join(entry.urls)} in a browser, and {by_hand(entry, self.store)}"
            ) from error
        if not entry.is_it(digest):
            destination.unlink()
            raise WeightsError(
                f"{entry.urls[0]} sends other bytes than the weights {self.name}: sha256 {digest}, and it should begin "
                f"with {entry.sha256}. The file has been deleted: {by_hand(entry, self.store)}"
            )
        return digest


def _archive_path(entry: WeightsEntry, store: WeightsStore) -> Path:
    """Return the place of an archive, which is its address's alone."""
    unique = hashlib.sha256(entry.urls[0].encode()).hexdigest()[:8]
    return store.folder / ARCHIVES / f"{unique}-{Path(urlsplit(entry.urls[0]).path).name}"


def _drop_archive(archive: Path, entry: WeightsEntry, store: WeightsStore) -> None:
    """Remove an archive once everything that the table takes from it is here."""
    siblings = [name for name, each in store.table.items() if each.archive_member and each.urls[:1] == entry.urls[:1]]
    if all(store.path(name) for name in siblings):
        archive.unlink(missing_ok=True)
        with suppress(OSError):  # other archives are in it
            archive.parent.rmdir()


def _cause(error: DownloadError) -> str:
    """Return what went wrong without the advice, which is about shards."""
    return str(error).partition("What has come")[0].partition(": ")[2].strip() or str(error)
