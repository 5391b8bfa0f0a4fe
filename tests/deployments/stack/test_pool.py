"""Detection mapped over a pool of real workers: complete, each video once, whatever is broken, killed or cancelled."""

import signal
from pathlib import Path

import psutil
import pytest

from tasks.contracts.batches import BatchRow
from tasks.fan_out.manifest import MANIFEST_NAME, read_manifest
from tests.deployments.stack.conftest import processes_of
from tests.support.local_stack import LocalStack, waited
from tests.support.square_videos import write_clip

SHORT, LONG = 8, 400  # frames
BROKEN = (3, 11, 20)


def clips(folder: Path, count: int, frames: int) -> list[str]:
    """Write clips, each of its own content: an apple that stands a little further in each."""
    folder.mkdir()
    for number in range(count):
        scene = [("apple", 4 + 8 * (number % 12), 4 + 8 * (number // 12))]
        write_clip(folder / f"clip-{number:02}.mp4", [scene] * frames)
    return [str(path) for path in sorted(folder.iterdir())]


def form(sources: list[str], **options: object) -> dict[str, object]:
    return {"sources": sources, "detector": "yolox-nano", "annotate": False, **options}


def manifest(stack: LocalStack, run_id: str) -> list[BatchRow]:
    return read_manifest(stack.home / "batches" / run_id / MANIFEST_NAME)


def rows_so_far(stack: LocalStack, run_id: str) -> dict[str, int]:
    """Count the rows that each batch of a run has."""
    folder = stack.home / "batches" / run_id
    counts = {path.name.split(".")[0]: 0 for path in folder.glob("*.json")}
    for path in folder.glob("*.rows.jsonl"):
        counts[path.name.split(".")[0]] += path.read_bytes().count(b"\n")
    return counts


@pytest.fixture(scope="module")
def long_clips(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Sixteen clips that are work enough for something to happen meanwhile."""
    return clips(tmp_path_factory.mktemp("long") / "clips", 16, LONG)


def test_many_videos_over_two_workers_the_broken_ones_failing_alone(local_stack: LocalStack, tmp_path: Path) -> None:
    sources = clips(tmp_path / "clips", 24, SHORT)
    for number in BROKEN:
        Path(sources[number]).write_text(f"This is no video, but text {number}.")
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(["# a comment", *sources, sources[0]]))
    run_id = local_stack.start("detect-objects", form([f"@{listed}"]))
    assert local_stack.ended(run_id, 120)["state_type"] == "COMPLETED"
    rows = manifest(local_stack, run_id)
    assert [row.source for row in rows] == sources
    assert [row.status for row in rows] == ["failed" if number in BROKEN else "done" for number in range(24)]
    assert all("is no video that can be opened" in str(rows[number].reason) for number in BROKEN)
    assert {(row.worker, row.device) for row in rows} == {("gpu-0", "0"), ("gpu-1", "1")}
    assert {row.run for row in rows} == {batch["id"] for batch in local_stack.batches(run_id)}
    assert all(str(row.answer).startswith("1 apple") or row.status == "failed" for row in rows)
    shown = local_stack.artifacts(run_id)
    assert "21 done, 3 failed" in shown["detected-videos"]["description"]
    assert shown["detected-videos-progress"]["data"] == 100

    good = [source for number, source in enumerate(sources) if number not in BROKEN]
    again = local_stack.start("detect-objects", form(good))
    assert local_stack.ended(again, 60)["state_type"] == "COMPLETED"
    assert {row.status for row in manifest(local_stack, again)} == {"cached"}
    assert not local_stack.batches(again)
    assert "21 cached" in local_stack.artifacts(again)["detected-videos"]["description"]


def test_a_batch_whose_machine_dies_is_run_by_another_and_no_video_is_lost(
    local_stack: LocalStack, long_clips: list[str]
) -> None:
    run_id = local_stack.start("detect-objects", form(long_clips))
    waited(lambda: min(rows_so_far(local_stack, run_id).values(), default=0) >= 1, 90, "both batches to get on")
    worker = psutil.Process(local_stack.parts()["gpu-1"]["pid"])
    dying = [*worker.children(recursive=True), worker]
    for process in dying:
        process.send_signal(signal.SIGKILL)
    assert local_stack.ended(run_id, 150)["state_type"] == "COMPLETED"
    rows = manifest(local_stack, run_id)
    assert [row.source for row in rows] == long_clips
    assert {row.status for row in rows} <= {"done", "cached"}
    states = sorted(batch["state_type"] for batch in local_stack.batches(run_id))
    assert states == ["COMPLETED", "COMPLETED", "CRASHED"]
    again = {row.run for row in rows if row.worker == "gpu-0"}
    assert len(again) == 2  # its own batch, and what was left of the other
    local_stack.up("--gpu-workers", "2")


def test_cancelling_the_parent_cancels_its_batches_and_leaves_no_process(
    local_stack: LocalStack, long_clips: list[str]
) -> None:
    run_id = local_stack.start("detect-objects", form(long_clips, again=True))
    waited(lambda: min(rows_so_far(local_stack, run_id).values(), default=0) >= 1, 90, "both batches to get on")
    assert len(local_stack.batches(run_id)) == 2
    local_stack.post(f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})
    waited(lambda: not engines(local_stack), 30, "every process of a run to end")
    for batch in local_stack.batches(run_id):
        assert local_stack.ended(batch["id"], 30)["state_type"] == "CANCELLED"
    assert local_stack.ended(run_id, 30)["state_type"] == "CANCELLED"


def engines(stack: LocalStack) -> list[str]:
    return [command for command in processes_of(stack.home) if "prefect.engine" in command or "supervisor" in command]


def test_where_nothing_can_be_done_the_run_fails_and_says_why(local_stack: LocalStack, long_clips: list[str]) -> None:
    run_id = local_stack.start("detect-objects", {"sources": long_clips[:1], "detector": "pointrend"})
    ended = local_stack.ended(run_id, 90)
    assert ended["state_type"] == "FAILED"
    assert "reelsift weights fetch pointrend" in ended["state"]["message"]
