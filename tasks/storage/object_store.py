"""Objects of a store: read, written, copied and counted, each by its key.

In: a URI and keys relative to it, such as `datasets/latest`. Out: bytes and files. Nothing here says which objects
belong together, nor whether one is whole: `bundles` does.
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path

from pyarrow import fs

from tasks.contracts.errors import StorageError
from tasks.storage.address import open_filesystem
from tasks.storage.failures import NO_BUCKET, translated

BLOCK_BYTES = 8 << 20  # of one request: smaller ones would wait for the line, larger ones for memory
OBJECT_STORES = frozenset({"s3", "gcs", "abfs"})  # those without folders: a key needs none


class ObjectStore:
    """A place in a file system of pyarrow's, with its errors translated."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._filesystem, self._place = open_filesystem(uri)
        self._has_folders = self._filesystem.type_name not in OBJECT_STORES
        root = self._place if self._has_folders else self._place.partition("/")[0]
        with self.doing("Opening the folder" if self._has_folders else f"Opening the bucket {root!r}"):
            if self._has_folders:
                self._filesystem.create_dir(root, recursive=True)
            elif self._filesystem.get_file_info(root).type == fs.FileType.NotFound:
                raise StorageError(f"The storage {uri} cannot be used: {NO_BUCKET}.")

    def doing(self, what: str) -> AbstractContextManager[None]:
        """Return the block within which the store's failures become errors in words."""
        return translated(self.uri, what)

    def read(self, key: str) -> bytes | None:
        """Return an object's content; None where there is none."""
        try:
            with self.doing(f"Reading {key}"), self._filesystem.open_input_stream(self._path(key)) as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def write(self, key: str, content: bytes) -> None:
        """Put an object there, in the place of an earlier one."""
        with self.doing(f"Writing {key}"):
            self._make_room(key)
            with self._filesystem.open_output_stream(self._path(key)) as stream:
                stream.write(content)

    def upload(self, path: Path, key: str, told: Callable[[int], None]) -> str:
        """Put a file there, and return the sha256 of what was sent; tells of the bytes as they go."""
        digest = hashlib.sha256()
        with self.doing(f"Writing {key}"), path.open("rb") as file:
            self._make_room(key)
            with self._filesystem.open_output_stream(self._path(key)) as stream:
                while block := file.read(BLOCK_BYTES):
                    digest.update(block)
                    stream.write(block)
                    told(len(block))
        return digest.hexdigest()

    def download(self, key: str, path: Path, told: Callable[[int], None]) -> str:
        """Write an object to a file that is not there yet, and return the sha256 of what came.

        Raises:
            FileNotFoundError: there is no such object.
        """
        digest = hashlib.sha256()
        with (
            self.doing(f"Reading {key}"),
            self._filesystem.open_input_stream(self._path(key)) as stream,
            path.open("xb") as file,
        ):
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                file.write(block)
                told(len(block))
        return digest.hexdigest()

    def copy(self, source: str, key: str) -> None:
        """Give an object's content a second key, without its bytes passing through here.

        Raises:
            FileNotFoundError: there is no such object.
        """
        with self.doing(f"Copying {source}"):
            self._make_room(key)
            self._filesystem.copy_file(self._path(source), self._path(key))

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        try:
            with self.doing(f"Deleting {key}"):
                self._filesystem.delete_file(self._path(key))
        except FileNotFoundError:
            return

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the bytes of every object below a prefix, by its key without the prefix."""
        below = self._path(prefix)
        chosen = fs.FileSelector(below, recursive=True, allow_not_found=True)
        with self.doing(f"Listing {prefix}"):
            found = self._filesystem.get_file_info(chosen)
        return {info.path[len(below) + 1 :]: info.size for info in found if info.type == fs.FileType.File}

    def _path(self, key: str) -> str:
        return f"{self._place}/{key}"

    def _make_room(self, key: str) -> None:
        if self._has_folders:
            self._filesystem.create_dir(self._path(key).rpartition("/")[0], recursive=True)


@lru_cache(maxsize=8)
def open_store(uri: str) -> ObjectStore:
    """Return the store at a URI, opened once a process.

    Raises:
        StorageError: it is no store's URI, the store cannot be reached or refuses, or there is no such bucket.
    """
    return ObjectStore(uri)
