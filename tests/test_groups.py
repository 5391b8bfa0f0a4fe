"""Tests that share a server run in one process, which pytest-xdist has to be told in a way that it understands."""

import os

import pytest


def test_a_test_bears_the_name_of_its_group(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("all tests run in one process")
    assert request.node.nodeid.endswith(f"@{__file__}")
