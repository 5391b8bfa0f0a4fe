"""Where the object store is: a URI becomes a file system and a place in it.

In: `s3://BUCKET/PREFIX?endpoint_override=http://127.0.0.1:9000`, `gs://…`, or a folder (`file:///mnt/shared`). Out:
pyarrow's file system. Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_PROFILE, …, or the machine's role),
never from the URI, which is shown in logs and forms. Does not know what is stored.
"""

import os
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
