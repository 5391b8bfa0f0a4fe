"""A bucket for each test, on a server that all share."""

import pytest

from tests.support.s3_server import S3Server


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """The URI of an empty place in a bucket."""
    return s3_server.new_bucket()
