"""Where fetched videos lie: a folder for each source and format, filled by one process at a time.

No part of a path comes from a stranger.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tasks.contracts.errors import DiskSpaceError, FetchError
from tasks.contracts.files import is_at, write_text
from tasks.contracts.media import FetchedVideo

METADATA_NAME = "fetched.json"
GONE_NAME = "withdrawn.json"
MEDIA_NAME = "video"
PARTS_NAME = "parts"  # what has come so far, kept for the next try
LOCK_NAME = "lock"


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

    def record(self) -> FetchedVideo | None:
        """Return what was noted of the video; its file may have gone since."""
        try:
            video = FetchedVideo.model_validate_json((self.folder / METADATA_NAME).read_bytes())
        except (OSError, ValidationError):
            return None
        return video.model_copy(update={"path": self.media})

    def find(self) -> FetchedVideo | None:
        """Return the video, if it is whole."""
        video = self.record()
        try:
            return video if video and self.media.stat().st_size == video.size_bytes else None
        except OSError:
            return None

    def discard(self) -> None:
        """Delete the file of a video that was fetched for its features alone; what was noted of it stays."""
        if (video := self.record()) and video.is_temporary:
            self.media.unlink(missing_ok=True)

    def note_gone(self, reason: str) -> None:
        """Note that the host no longer has the video."""
        write_text(self.folder / GONE_NAME, json.dumps({"reason": reason}) + "\n")

    def why_gone(self) -> str | None:
        """Return why the host no longer has the video, if that was noted."""
        try:
            return str(json.loads((self.folder / GONE_NAME).read_bytes())["reason"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def take(self, path: Path) -> None:
        """Make a file the video; until there is a record for it, it is nobody's."""
        (self.folder / METADATA_NAME).unlink(missing_ok=True)
        path.replace(self.media)
        (self.folder / GONE_NAME).unlink(missing_ok=True)
        shutil.rmtree(self.parts, ignore_errors=True)

    def keep(self, video: FetchedVideo) -> None:
        """Note that the video is whole; the record comes last."""
        write_text(self.folder / METADATA_NAME, video.model_dump_json(indent=2) + "\n")

    def tidy(self) -> None:
        """Leave nothing where nothing has come; only for the holder of the lock."""
        with suppress(OSError):  # not empty, or not there
            self.parts.rmdir()
        if {path.name for path in self.folder.iterdir()} <= {LOCK_NAME}:
            shutil.rmtree(self.folder, ignore_errors=True)


def peek(cache: Path, key: str) -> FetchedVideo | None:
    """Return the video of a key if it is whole, without waiting for the process that fills its place."""
    return unlocked_place(cache, key).find()


def unlocked_place(cache: Path, key: str) -> Place:
    """Return the place of a key, to look at and not to fill."""
    return Place(cache.absolute() / hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:32])


@contextmanager
def place_of(cache: Path, key: str) -> Iterator[Place]:
    """Yield the place of a key, while no other process fills it; the kernel lets go of a dead process's lock.

    Raises:
        FetchError: the cache cannot be written to.
        DiskSpaceError: it is full.
    """
    place = unlocked_place(cache, key)
    try:
        with _locked(place.folder / LOCK_NAME):
            try:
                yield place
            finally:
                place.tidy()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskSpaceError(
                f"No room for fetched videos in {cache}: free some, or name another disk in REELSIFT_HOME."
            ) from error
        raise FetchError(
            f"Fetched videos cannot be kept in {cache}: {error.strerror or error}. Fix this, or name another folder "
            "in REELSIFT_HOME."
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Truncated, as the time of that says when the video was last asked for.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:  # its former holder has just removed the folder
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if is_at(descriptor, path):
                yield
                return
        finally:
            os.close(descriptor)
