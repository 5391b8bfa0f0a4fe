"""The vocabulary of a mirror, fetched once and kept.

In: a folder to keep it in, and where the mirrors are. Out: a `Vocabulary`. Does not know how labels are named
or searched.
"""

import hashlib
from pathlib import Path

from tasks.contracts.progress import Progress
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import is_public, resolve
from tasks.vocabulary.labels import Vocabulary
from tasks.vocabulary.table import read_vocabulary


def load_vocabulary(folder: Path, config: DownloadConfig, progress: Progress | None = None) -> Vocabulary:
    """Return the vocabulary that goes with a mirror's shards, fetched to `folder` where it is not there yet.

    Raises:
        DownloadError: no mirror has it.
        VocabularyError: what came is not one.
    """
    path = folder / f"{_key(config)}.csv"
    if not path.is_file():
        # Imported here: an HTTP client takes longer to import than a vocabulary that is there to read.
        from tasks.shards.remote import RemoteFile  # noqa: PLC0415
        from tasks.shards.transfer import fetch_file  # noqa: PLC0415

        fetch_file(RemoteFile("the vocabulary", resolve(config).vocabulary()), path, config, progress)
    return read_vocabulary(path)


def kept_vocabulary(folder: Path) -> Vocabulary | None:
    """Return the vocabulary that was fetched last, from whichever mirror, or None."""
    kept = sorted(folder.glob("*.csv"), key=lambda path: path.stat().st_mtime)
    return read_vocabulary(kept[-1]) if kept else None


def _key(config: DownloadConfig) -> str:
    """Name the file by its mirror: another mirror may serve another release."""
    if is_public(config):
        return "public"
    return hashlib.sha256("\n".join(config.mirrors).encode()).hexdigest()[:12]
