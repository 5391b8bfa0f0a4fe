"""What an object store's refusals mean, in words.

In: pyarrow's errors, which quote Amazon's. Out: `StorageError` with what to do. Does not try anything again.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from tasks.contracts.errors import StorageError

UNREACHABLE = "nothing answers there: see that the address is right and the server runs"
REFUSED = (
    "it refuses these credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, of somebody who "
    "may list, read and write there"
)
NO_BUCKET = "there is no such bucket: make it, or mend REELSIFT_STORAGE"
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
