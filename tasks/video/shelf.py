"""Where fetched videos lie: a folder for each source and format, filled by one process at a time.

In: a source and what was asked of it. Out: a `Place` with a video that is whole, or one to fill. No part of a path
comes from a stranger. Does not fetch.
"""

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.files import write_text
from tasks.contracts.media import FetchedVideo

CARD_NAME = "fetched.json"
MEDIA_NAME = "video"
PARTS_NAME = "parts"  # what has come so far, kept for the next try


@dataclass(frozen=True)
class Place:
    """The folder of one source in one format."""

    folder: Path

    @property
    def media(self) -> Path:
        """The video's file."""
        return self.folder / MEDIA_NAME

    @property
    def parts(self) -> Path:
        """The folder of downloads that are not whole yet."""
        return self.folder / PARTS_NAME

    def find(self) -> FetchedVideo | None:
        """Return the video, if it is whole."""
        try:
            video = FetchedVideo.model_validate_json((self.folder / CARD_NAME).read_bytes())
            is_whole = self.media.stat().st_size == video.size_bytes
        except (OSError, ValidationError):
            return None
        return video.model_copy(update={"path": self.media}) if is_whole else None

    def clear(self) -> None:
        """Remove what the video was put together from."""
        shutil.rmtree(self.parts, ignore_errors=True)

    def tidy(self) -> None:
        """Remove the folder of what has come so far, if nothing has."""
        if self.parts.is_dir() and not any(self.parts.iterdir()):
            self.parts.rmdir()

    def keep(self, video: FetchedVideo) -> None:
        """Note that the video is whole; the card comes last."""
        write_text(self.folder / CARD_NAME, video.model_dump_json(indent=2) + "\n")


@contextmanager
def place_of(cache: Path, key: str) -> Iterator[Place]:
    """Yield the place of a key, while no other process fills it; the kernel lets go of a dead process's lock."""
    folder = cache / hashlib.sha256(key.encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Place(folder)
