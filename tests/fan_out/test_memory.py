"""What one run remembers for the next: paces and detectors."""

from pathlib import Path

import pytest

from tasks.contracts.media import BatchRow, DetectorRecord, WeightsRecord
from tasks.fan_out.batching import (
    COSTS_NAME,
    DETECTORS_NAME,
    OVERHEAD_S,
    USUAL_COST,
    USUAL_VIDEO_S,
    expected_s,
    keep_cost,
    keep_detector,
    known_cost,
    known_detector,
)

RECORD = DetectorRecord(
    name="yolox-nano",
    weights=WeightsRecord(name="yolox-nano", file_name="yolox_nano.onnx", sha256="0" * 64),
    device="cuda",
    speed="normal",
    has_masks=False,
)


def row(seconds: float, video_s: float | None, status: str = "done") -> BatchRow:
    return BatchRow.model_validate(
        {"source": "a", "status": status, "place": 0, "seconds": seconds, "video_s": video_s}
    )


def test_the_pace_is_that_of_what_was_really_done(tmp_path: Path) -> None:
    assert known_cost(tmp_path, "work") == USUAL_COST
    keep_cost(tmp_path, "work", [row(10, 100), row(30, 100), row(0.01, 100, "cached"), row(5, None)])
    assert known_cost(tmp_path, "work") == pytest.approx(0.2)
    assert known_cost(tmp_path, "other work") == USUAL_COST
    keep_cost(tmp_path, "work", [row(0.01, 100, "cached")])
    keep_cost(tmp_path, "work", [row(9, 3)])  # too little to tell
    assert known_cost(tmp_path, "work") == pytest.approx(0.2)


def test_what_is_expected_of_a_video() -> None:
    assert expected_s(100, 0.2) == pytest.approx(OVERHEAD_S + 20)
    assert expected_s(None, 0.2) == pytest.approx(OVERHEAD_S + USUAL_VIDEO_S * 0.2)
    assert expected_s(0, 0.2) == OVERHEAD_S


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("[1]", id="a-list"),
        pytest.param('{"work": "fast"}', id="a-word"),
        pytest.param('{"work": -1}', id="negative"),
        pytest.param('{"work": 1e99}', id="huge"),
        pytest.param('{"work": NaN}', id="nan"),
    ],
)
def test_a_damaged_memory_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / COSTS_NAME).write_text(content)
    (tmp_path / DETECTORS_NAME).write_text(content)
    assert known_cost(tmp_path, "work") == USUAL_COST
    assert known_detector(tmp_path, "auto", "normal") is None


def test_a_detector_is_known_by_what_the_form_calls_it(tmp_path: Path) -> None:
    keep_detector(tmp_path, "auto", "normal", RECORD)
    assert known_detector(tmp_path, "auto", "normal") == RECORD
    assert known_detector(tmp_path, "auto", "fast") is None
    changed = RECORD.model_copy(update={"device": "cpu"})
    keep_detector(tmp_path, "auto", "normal", changed)
    assert known_detector(tmp_path, "auto", "normal") == changed
