"""A failure stays with its video."""

import errno
import logging

import pytest

from tasks.contracts.errors import VideoError
from tasks.contracts.media import DONE, FAILED, VideoOutcome
from tasks.per_video.jobs import alone


def test_work_that_ends_well_is_its_outcome() -> None:
    outcome = VideoOutcome(source="a.mp4", status=DONE, answer="a cat")
    assert alone("a.mp4", lambda: outcome) == outcome


def test_an_expected_error_becomes_one_line() -> None:
    def work() -> VideoOutcome:
        raise VideoError("a.mp4 is no video:\n  it holds text")

    outcome = alone("a.mp4", work)
    assert (outcome.source, outcome.status, outcome.folder) == ("a.mp4", FAILED, None)
    assert outcome.reason == "a.mp4 is no video: it holds text"


def test_an_unexpected_error_is_logged_with_its_place_and_stays_alone(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> VideoOutcome:
        return VideoOutcome(source="a.mp4", status=DONE, seconds=1 / 0)

    with caplog.at_level(logging.ERROR):
        outcome = alone("a.mp4", work)
    assert outcome.status == FAILED
    assert "ZeroDivisionError" in str(outcome.reason)
    assert "Traceback" in caplog.text


def test_a_full_disk_is_no_surprise(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> VideoOutcome:
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28]")  # as pyarrow says it

    outcome = alone("a.mp4", work)
    assert outcome.reason is not None
    assert outcome.reason.startswith("No space left on device: make room")
    assert not caplog.records


def test_an_interruption_is_nobodys_failure() -> None:
    def work() -> VideoOutcome:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        alone("a.mp4", work)
