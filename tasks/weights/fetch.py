"""Files of weights, fetched: resumed, checked, and out of their archives.

In: names in the table. Out: files in the store's folder, each with a receipt. Does not open them.
"""

import shutil
from pathlib import Path

from tasks.contracts.errors import DownloadError, MissingWeightsError
from tasks.contracts.files import appearing, file_digest
from tasks.contracts.progress import Progress
from tasks.shards.config import DownloadConfig
from tasks.shards.remote import RemoteFile
from tasks.shards.transfer import fetch_file
from tasks.weights.archive import extract_member
from tasks.weights.config import WeightsEntry
from tasks.weights.receipt import Receipt, write_receipt
from tasks.weights.store import Weights, WeightsStore, find_weights

ARCHIVES = "archives"  # folder of archives, whose files are needed one by one


def fetch_weights(
    name: str, store: WeightsStore, download: DownloadConfig, progress: Progress | None = None
) -> Weights:
    """Have a file of weights here; one that is here and whole is not fetched again.

    Raises:
        MissingWeightsError: it could not be fetched; the message says how to get it by hand.
        WeightsError: what came is not what the table says, or its archive is not what it should be.
    """
    entry = store.entry(name)
    if store.path(name) is None:
        _fetch(name, entry, store, download, progress)
    return find_weights(name, store)


def _fetch(
    name: str, entry: WeightsEntry, store: WeightsStore, download: DownloadConfig, progress: Progress | None
) -> None:
    path = store.folder / entry.file_name
    came = store.folder / ARCHIVES / Path(entry.urls[0]).name if entry.archive_member else path
    remote = RemoteFile(f"weights {name}", entry.urls, entry.sha256, "sha256", entry.size_bytes)
    try:
        digest = fetch_file(remote, came, download, progress).digest if not _is_kept(came, entry) else file_digest(came)
    except DownloadError as error:
        raise MissingWeightsError(
            f"The weights {name} could not be fetched from {', '.join(entry.urls)}: {_cause(error)} What has come is "
            f"kept. Try again, or get {_what(entry)} in a browser and put {entry.file_name} into {store.folder}, or "
            "into a folder that REELSIFT_WEIGHTS names."
        ) from error
    if not entry.archive_member:
        write_receipt(path, Receipt(url=entry.urls[0], sha256=digest))
        return
    with appearing(path) as temporary:
        extract_member(came, entry.archive_member, temporary)
    write_receipt(path, Receipt(url=entry.urls[0], sha256=file_digest(path), archive_sha256=digest))
    _drop_archive(came, entry, store)


def _is_kept(came: Path, entry: WeightsEntry) -> bool:
    """Say whether an archive is here already, of which another file was taken."""
    return bool(entry.archive_member) and came.is_file()


def _drop_archive(came: Path, entry: WeightsEntry, store: WeightsStore) -> None:
    """Remove an archive once everything that the table takes from it is here."""
    siblings = [each for each in store.table.values() if each.urls == entry.urls and each.archive_member]
    if all((store.folder / each.file_name).is_file() for each in siblings):
        came.unlink(missing_ok=True)
        if not any(came.parent.iterdir()):
            shutil.rmtree(came.parent, ignore_errors=True)


def _what(entry: WeightsEntry) -> str:
    return f"{entry.archive_member} out of the archive" if entry.archive_member else "it"


def _cause(error: DownloadError) -> str:
    """Return what went wrong without the advice, which is about shards."""
    return str(error).partition("What has come")[0].partition(": ")[2].strip() or str(error)
