"""Faults, and how long to wait after one."""

from datetime import UTC, datetime

import pytest

from tasks.contracts.files import format_bytes
from tasks.shards.config import DownloadConfig
from tasks.shards.sources import Fault, retry_after_s, wait_before_retry_s

NOW = datetime(2026, 1, 31, 23, 59, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("120", 120, id="seconds"),
        pytest.param(" 7 ", 7, id="spaces"),
        pytest.param("0", 0, id="zero"),
        pytest.param("9" * 400, 999_999_999, id="a number without end"),
        pytest.param("Sun, 01 Feb 2026 00:00:20 GMT", 30, id="date"),
        pytest.param("Sunday, 01-Feb-26 00:00:20 GMT", 30, id="date of RFC 850"),
        pytest.param("Sun, 01 Feb 2026 00:00:20 -0000", 30, id="date without a place"),
        pytest.param("Sun Feb  1 00:00:20 2026", 30, id="date of asctime"),
        pytest.param("Sat, 31 Jan 2026 23:00:00 GMT", 0, id="past"),
        pytest.param("-5", 0, id="negative"),
        pytest.param("1.5", 0, id="fraction"),
        pytest.param("٣", 0, id="a digit that is not ASCII"),
        pytest.param("soon", 0, id="word"),
        pytest.param("Sun, 99 Feb 2026 99:00:20 GMT", 0, id="no such date"),
        pytest.param("", 0, id="empty"),
        pytest.param(None, 0, id="absent"),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert retry_after_s(header, NOW) == seconds


def test_waits_grow_twofold_at_random_up_to_the_maximum() -> None:
    config = DownloadConfig(backoff_base_s=1, backoff_max_s=10)
    ceilings = {1: 1, 2: 2, 3: 4, 4: 8, 5: 10, 50: 10, 5000: 10}
    for retry, ceiling in ceilings.items():
        waits = [wait_before_retry_s(retry, Fault("x"), config) for _ in range(400)]
        assert 0 <= min(waits) < 0.05 * ceiling
        assert 0.95 * ceiling < max(waits) <= ceiling


def test_a_server_is_waited_for_longer_than_the_back_off_but_not_for_ever() -> None:
    config = DownloadConfig(backoff_base_s=1, retry_after_max_s=60)
    assert wait_before_retry_s(1, Fault("x", retry_after_s=30), config) == 30
    assert wait_before_retry_s(1, Fault("x", retry_after_s=3600), config) == 60


@pytest.mark.parametrize(
    ("count", "text"),
    [
        pytest.param(0, "0 B", id="none"),
        pytest.param(999, "999 B", id="bytes"),
        pytest.param(1000, "1.0 kB", id="a thousand"),
        pytest.param(1_364_993, "1.4 MB", id="a shard"),
        pytest.param(135_640_965, "136 MB", id="the sample"),
        pytest.param(999_999, "1.0 MB", id="rounds up to the next unit"),
        pytest.param(31_000_000_000, "31.0 GB", id="all"),
        pytest.param(1 << 60, "1152922 TB", id="no larger unit"),
    ],
)
def test_bytes_are_told_as_people_read_them(count: float, text: str) -> None:
    assert format_bytes(count) == text
