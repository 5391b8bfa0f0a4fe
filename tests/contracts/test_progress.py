"""Progress: totals of stages that run side by side add up, and lines are rare and complete."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from reelsift.console import Bars, CountColumn, TimeLeftColumn
from tasks.contracts.progress import LineProgress, Silent, Throughput, listener, listening, scaled, stop


class Recorder(Silent):
    """A listener that remembers."""

    def __init__(self) -> None:
        self.total: dict[str, float | None] = {}
        self.done: dict[str, float] = {}

    def begin(self, what: str, total: float | None, unit: str) -> None:
        self.total[what] = total

    def advance(self, what: str, amount: float) -> None:
        self.done[what] = self.done.get(what, 0) + amount


def test_nobody_listens_by_default() -> None:
    assert listener() is None


def test_totals_of_stages_side_by_side_add_up() -> None:
    recorder = Recorder()
    with listening(recorder):
        first, second = listener(), listener()
        assert first
        assert second
        first.begin("files", 10, "files")
        second.begin("files", 5, "files")
        first.begin("files", 12, "files")  # a better total replaces the stage's own, not the other's
        first.advance("files", 1)
        second.advance("files", 2)
    assert (recorder.total, recorder.done) == ({"files": 17}, {"files": 3})
    assert listener() is None


def test_one_unknown_total_makes_the_sum_unknown() -> None:
    recorder = Recorder()
    with listening(recorder):
        first, second = listener(), listener()
        assert first
        assert second
        first.begin("bytes", 10, "B")
        second.begin("bytes", None, "B")
    assert recorder.total == {"bytes": None}


def test_a_line_tells_share_and_rate() -> None:
    lines: list[str] = []
    progress = LineProgress(lines.append, every_s=0)
    progress.begin("records", 200, "records")
    progress.advance("records", 50)
    assert len(lines) == 1
    assert lines[0].startswith("records: 50 of 200 records, ")
    assert "left" not in lines[0]  # nobody knows yet


def test_a_time_is_promised_once_there_is_enough_to_tell_and_by_what_happened_of_late() -> None:
    """A first file that takes 8 s of 100 would promise a quarter of an hour to what then goes on at 2 a second."""
    pace = Throughput(0.0)
    pace.advance(1, 8.0)
    assert pace.left_s(100, 8.0) is None
    for second in range(9, 40):
        pace.advance(2, float(second))
    assert pace.done == 63
    left_s = pace.left_s(100, 39.0)
    assert left_s == pytest.approx(37 / 2, rel=0.05)
    assert pace.left_s(None, 39.0) is None


def test_what_comes_all_at_once_promises_nothing() -> None:
    pace = Throughput(0.0)
    for _ in range(24):
        pace.advance(1, 12.0)
    assert pace.left_s(100, 12.0) is None


def test_lines_are_rare() -> None:
    lines: list[str] = []
    progress = LineProgress(lines.append, every_s=3600)
    progress.begin("records", 200, "records")
    for _ in range(200):
        progress.advance("records", 1)
    assert lines == []


def test_what_ends_before_its_goal_says_why_once() -> None:
    lines: list[str] = []
    with listening(LineProgress(lines.append, every_s=3600)):
        heard = listener()
        assert heard
        heard.begin("training gated", 40, "epochs")
        heard.advance("training gated", 12)
        stop(heard, "training gated", "stopped at epoch 12 of at most 40: no better for 5")
        stop(Silent(), "training gated", "which some need not hear")
    assert lines == ["training gated: stopped at epoch 12 of at most 40: no better for 5"]


def test_a_bar_that_ends_before_its_goal_is_full_and_says_why() -> None:
    screen = Console(file=io.StringIO(), width=100)
    progress = Progress(TextColumn("{task.description}"), CountColumn(), TimeLeftColumn(), console=screen)
    bars = Bars(progress)
    bars.begin("training gated", 40, "epochs")
    bars.advance("training gated", 12)
    with screen.capture() as before:
        screen.print(progress.get_renderable())
    assert "12 of 40 epochs" in before.get()
    stop(bars, "training gated", "stopped at epoch 12 of at most 40: no better for 5")
    with screen.capture() as after:
        screen.print(progress.get_renderable())
    assert after.get().strip() == "training gated stopped at epoch 12 of at most 40: no better for 5"
    assert progress.finished


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        pytest.param(999, "B", "999 B", id="bytes"),
        pytest.param(1500, "B", "1.5 kB", id="kilobytes"),
        pytest.param(31e9, "B", "31.0 GB", id="gigabytes"),
        pytest.param(12_345, "shards", "12,345 shards", id="count"),
        pytest.param(0.4, "shards", "0.4 shards", id="slow"),
    ],
)
def test_numbers_are_written_for_people(value: float, unit: str, text: str) -> None:
    assert scaled(value, unit) == text
