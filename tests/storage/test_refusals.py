"""A store that cannot be used says so in one line, soon: no bucket, no server, no right, no such URI."""

import time
import urllib.request

import pytest

from tasks.contracts.errors import StorageError
from tasks.storage.object_store import ObjectStore
from tests.support.s3_server import S3Server

SOON_S = 8.0


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        pytest.param("s3://", "names no bucket", id="no-bucket-named"),
        pytest.param("s3://b/p?endpoint=x", r"unknown option 'endpoint'; there are endpoint_override", id="option"),
        pytest.param("ftp://host/p", r"is no storage .* write s3://BUCKET/PREFIX", id="scheme"),
        pytest.param("relative/folder", r"is no storage", id="relative"),
        pytest.param("", r"is no storage", id="empty"),
    ],
)
def test_what_is_no_store_is_refused(uri: str, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        ObjectStore(uri)


def test_credentials_in_the_uri_are_refused_and_not_repeated() -> None:
    with pytest.raises(StorageError, match="AWS_SECRET_ACCESS_KEY") as refused:
        ObjectStore("s3://key:hidden@bucket/p")
    assert "hidden" not in str(refused.value)


def test_a_missing_bucket_is_told_at_once(s3_server: S3Server) -> None:
    with pytest.raises(StorageError, match="no such bucket: make it, or correct REELSIFT_STORAGE"):
        ObjectStore(s3_server.uri("never-made"))


def test_a_server_that_dies_is_told_soon(s3_server: S3Server) -> None:
    with S3Server() as dying:
        store = ObjectStore(dying.new_bucket())
        dying.stop()
        for do in (lambda: store.write("x", b"x"), lambda: ObjectStore(dying.uri("b"))):
            began_s = time.monotonic()
            with pytest.raises(StorageError, match="nothing answers there"):
                do()
            assert time.monotonic() - began_s < SOON_S


def test_somebody_who_may_not_is_told_so(s3_server: S3Server) -> None:
    with S3Server() as strict:
        bucket = strict.new_bucket()
        request = urllib.request.Request(f"{strict.url}/moto-api/reset-auth", data=b"0", method="POST")
        request.add_header("Content-Type", "text/plain")  # else moto reads the number as a form
        urllib.request.urlopen(request).read()  # from now on keys that it never gave out are refused
        with pytest.raises(StorageError, match="refuses these credentials: set AWS_ACCESS_KEY_ID"):
            ObjectStore(bucket)
