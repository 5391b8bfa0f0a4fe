"""Objects of a store, each by its key: the address, reads, writes, copies, and errors in plain words."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
from pyarrow import fs

from tasks.contracts.errors import StorageError

CONNECT_S = 5.0
ANSWER_S = 60.0  # of silence
ATTEMPTS = 3  # of each request; the whole run is repeatable beyond that
OPTIONS = ("endpoint_override", "region", "scheme", "force_virtual_addressing", "tls_ca_file_path")
EXAMPLES = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or file:///FOLDER"


def open_filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """Return the file system and the place in it that the URI names, without a trailing slash; asks nobody yet.

    Raises:
        StorageError: it is no such URI, or holds a secret.
    """
    parts = urlsplit(uri)
    if "@" in parts.netloc:
        raise StorageError(
            f"The storage {parts.scheme}://…@{parts.hostname}{parts.path} holds credentials, which logs would show: "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    if parts.scheme == "s3":
        place = f"{parts.netloc}/{parts.path.strip('/')}".rstrip("/")
        return _s3(uri, parts.netloc, dict(parse_qsl(parts.query, keep_blank_values=True))), place
    try:
        filesystem, place = fs.FileSystem.from_uri(uri)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise StorageError(f"{uri!r} is no storage ({error}): write {EXAMPLES}.") from error
    return filesystem, place.rstrip("/")


def _s3(uri: str, bucket: str, options: dict[str, str]) -> fs.S3FileSystem:
    """Return S3 with time limits, which pyarrow's own reading of the URI does not set."""
    if not bucket:
        raise StorageError(f"{uri!r} names no bucket: write s3://BUCKET/PREFIX.")
    if unknown := sorted(options.keys() - set(OPTIONS)):
        raise StorageError(f"{uri!r} has the unknown option {unknown[0]!r}; there are {', '.join(OPTIONS)}.")
    scheme, _, endpoint = options.get("endpoint_override", "").rpartition("://")
    return fs.S3FileSystem(
        endpoint_override=endpoint or None,
        scheme=options.get("scheme") or scheme or "https",
        region=options.get("region") or _region(bucket, is_elsewhere=bool(endpoint)),
        force_virtual_addressing=options.get("force_virtual_addressing", "").lower() == "true",
        tls_ca_file_path=options.get("tls_ca_file_path"),
        connect_timeout=CONNECT_S,
        request_timeout=ANSWER_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def _region(bucket: str, *, is_elsewhere: bool) -> str:
    """Return the region that the environment names, or the bucket's; a server that is not Amazon's has none."""
    named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if named or is_elsewhere or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        return named or "us-east-1"
    try:
        return fs.resolve_s3_region(bucket)
    except OSError as error:
        raise StorageError(
            f"The region of the bucket {bucket!r} cannot be found ({str(error)[:200]}): see that the bucket exists, or "
            "set AWS_REGION."
        ) from error


UNREACHABLE = "nothing answers there: see that the address is right and the server runs"
REFUSED = (
    "it refuses these credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of somebody who "
    "may list, read and write there"
)
NO_BUCKET = "there is no such bucket: make it, or correct REELSIFT_STORAGE"
MEANINGS = (
    (r"NETWORK_CONNECTION|curlCode|[Tt]imed? ?out|Could(?:n't| not) connect", UNREACHABLE),
    (
        r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|CREDENTIALS|InvalidAccessKeyId|HTTP status 40[13]|Permission",
        REFUSED,
    ),
    (r"NO_SUCH_BUCKET|NoSuchBucket", NO_BUCKET),
)
# What pyarrow says of an object that went while it was open, with or without an answer's body.
MISSING = re.compile("NO_SUCH_KEY|NoSuchKey|RESOURCE_NOT_FOUND during GetObject")


@contextmanager
def translated(uri: str, what: str) -> Iterator[None]:
    """Turn the failure of doing `what` at the store into a `StorageError`; a missing object stays what it is.

    Raises:
        FileNotFoundError: there is no such object, or not any more.
        StorageError: the store cannot be reached, refuses, is full, or is broken.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        if MISSING.search(str(error)):
            raise FileNotFoundError(f"{what} at the storage {uri}: it is no longer there") from error
        raise StorageError(f"{what} at the storage {uri} failed: {_meaning(error)}.") from error


def _meaning(error: Exception) -> str:
    """Return what went wrong in words that help, or else the error's own."""
    said = " ".join(str(error).split())
    known = next((meaning for pattern, meaning in MEANINGS if re.search(pattern, said)), None)
    return known or said[:300].rstrip(".")


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
        """Put a file there, and return the sha256 of what was sent; reports the bytes as they go."""
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
