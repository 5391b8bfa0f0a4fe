"""Detection mapped over a pool of real workers: complete, each video once, whatever is broken, killed or cancelled."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

import reelsift
from conf.forms import ExtractDatasetForm
from flows.import_requests import import_place
from tasks.contracts.media import BatchRow, FetchedVideo
from tasks.fan_out.batching import MANIFEST_NAME, read_manifest
from tasks.fan_out.ledger import Ledger
from tasks.imports.versions import clips_of_version
from tasks.per_video.fetching import fetch_each
from tests.deployments.stack.conftest import processes_of
from tests.imports.made import write_classes
from tests.support.local_stack import LocalStack, free_port, waited
from tests.support.square_videos import write_clip
from tests.support.youtube_mirror import youtube_mirror

SHORT, LONG = 8, 200  # frames
LONG_CLIPS = 20
BROKEN = (3, 11, 20)


def clips(folder: Path, count: int, frames: int) -> list[str]:
    """Write clips of an apple that stands; a box that players skip makes the content of each its own."""
    folder.mkdir()
    clip = folder / "clip-00.mp4"
    write_clip(clip, [[("apple", 4, 4)]] * frames)
    for number in range(1, count):
        own = b"\x00\x00\x00\x0cskip" + number.to_bytes(4, "big")
        (folder / f"clip-{number:02}.mp4").write_bytes(clip.read_bytes() + own)
    return [str(path) for path in sorted(folder.iterdir())]


def form(sources: list[str], **options: object) -> dict[str, object]:
    return {"sources": sources, "detector": "yolox-nano", "annotate": False, **options}


def manifest(stack: LocalStack, run_id: str) -> list[BatchRow]:
    return read_manifest(stack.home / "batches" / run_id / MANIFEST_NAME)


def under_way(stack: LocalStack, run_id: str) -> dict[str, int]:
    """Return the workers that are in the middle of a batch of a run, and how many of its videos they have done."""
    folder = stack.home / "batches" / run_id
    ledgers = [Ledger(folder, path.stem) for path in folder.glob("*.json")]
    found = {}
    for ledger in ledgers:
        rows = list(ledger.rows().values())
        if 0 < len(rows) < LONG_CLIPS // 2:
            found[str(rows[0].worker)] = len(rows)
    return found


@pytest.fixture(scope="module")
def long_clips(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Clips that are work enough for something to happen meanwhile."""
    return clips(tmp_path_factory.mktemp("long") / "clips", LONG_CLIPS, LONG)


def test_many_videos_over_two_workers_the_broken_ones_failing_alone(local_stack: LocalStack, tmp_path: Path) -> None:
    sources = clips(tmp_path / "clips", 24, SHORT)
    for number in BROKEN:
        Path(sources[number]).write_text(f"This is no video, but text {number}.")
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(["# a comment", *sources, sources[0]]))
    run_id = local_stack.start("detect-objects", form([f"@{listed}"]))
    ended = local_stack.ended(run_id, 120)
    assert (ended["state_type"], ended["state_name"]) == ("COMPLETED", "Partly failed")
    assert ended["state"]["message"].startswith("21 of 24 done, 3 failed: ")
    rows = manifest(local_stack, run_id)
    assert [row.source for row in rows] == sources
    assert [row.status for row in rows] == ["failed" if number in BROKEN else "done" for number in range(24)]
    assert all("is no video that can be opened" in str(rows[number].reason) for number in BROKEN)
    assert {(row.worker, row.device) for row in rows} == {("gpu-0", "0"), ("gpu-1", "1")}
    assert {row.run for row in rows} == {batch["id"] for batch in local_stack.batches(run_id)}
    assert all(str(row.answer).startswith("1 apple") or row.status == "failed" for row in rows)
    shown = local_stack.artifacts(run_id)
    assert "21 done, 3 failed" in shown["detected-videos"]["description"]
    assert "by yolox-nano on cpu" in shown["detected-videos"]["description"]
    assert shown["detected-videos-progress"]["data"] == 100
    assert shown["detected-videos-progress"]["description"] == "24 of 24 videos by yolox-nano on cpu"

    good = [source for number, source in enumerate(sources) if number not in BROKEN]
    # Of a client that the page's schema does not stop: null is what was not filled in.
    nulls = dict.fromkeys(("speed", "every", "again", "recursive", "where"))
    again = local_stack.start("detect-objects", form(good, **nulls), enforce_parameter_schema=False)
    assert local_stack.ended(again, 60)["state_type"] == "COMPLETED"
    assert {row.status for row in manifest(local_stack, again)} == {"cached"}
    assert not local_stack.batches(again)
    assert "21 cached" in local_stack.artifacts(again)["detected-videos"]["description"]


def test_the_command_over_the_pool_writes_where_it_was_typed(local_stack: LocalStack, tmp_path: Path) -> None:
    """Names are relative to the folder of the terminal; the workers run in temporary folders of their own."""
    clips(tmp_path / "clips", 2, SHORT)
    (tmp_path / "bad.mp4").write_text("no video at all")
    (tmp_path / "list.txt").write_text("clips/clip-01.mp4\nbad.mp4\n")
    typed = ("detect", "--pool", "clips/clip-00.mp4", "@list.txt", "--detector", "yolox-nano", "--out", "found")
    some = local_stack.command(*typed, "--no-annotate", folder=tmp_path)
    assert (some.returncode, some.stdout.count("In all: 1 apple")) == (1, 2), some.stderr
    assert "error: " in some.stderr
    assert "bad.mp4" in some.stderr.rpartition("error: ")[2]
    assert "Traceback" not in some.stderr
    found = sorted(path for path in (tmp_path / "found").iterdir() if path.is_dir())
    index = (tmp_path / "found" / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{folder.name}/index.html"' in index for folder in found)
    assert [folder.name[:7] for folder in found] == ["clip-00", "clip-01"]
    assert all(f"Report: {folder / 'index.html'}" in some.stdout for folder in found)
    whole = local_stack.command(*typed[:2], "clips/clip-00.mp4", *typed[4:], "--no-annotate", "--json", folder=tmp_path)
    assert whole.returncode == 0, whole.stderr
    (row,) = json.loads(whole.stdout)["videos"]
    assert (row["status"], row["folder"]) == ("cached", str(found[0]))
    assert row["objects"]["counts"] == {"apple": 1}


def test_an_import_over_the_pool_extracts_each_video_once(local_stack: LocalStack, tmp_path: Path) -> None:
    folder = write_classes(tmp_path / "clips", each=2)
    (folder / "warm" / "broken.mp4").write_text("no video at all")
    typed = ("dataset", "import", "--pool", "clips", "--name", "pooled", "--json")
    some = local_stack.command(*typed, folder=tmp_path)
    assert some.returncode == 0, some.stderr
    made = json.loads(some.stdout)
    assert (made["rows"], made["extracted"], made["cached"], made["drops"]) == (4, 4, 0, {"broken-video": 1})
    assert "warm/broken.mp4 is left out (broken-video): " in some.stderr


def test_videos_of_a_version_are_extracted_over_the_pool_and_deleted(
    local_stack: LocalStack, synthetic_mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers find what was fetched before: they have a network of their own, and none leads to loopback."""
    shutil.copytree(synthetic_mirror, tmp_path / "mirror")
    version = reelsift.build_dataset("Cooking", mirror=tmp_path / "mirror", home=local_stack.home)
    ids = [each.named for each in clips_of_version(version.dataset, limit=3).clips]
    with youtube_mirror(tmp_path / "mirror", tmp_path / "site") as mirror:
        mirror.has(ids[1:])
        for name, value in mirror.environment.items():
            monkeypatch.setenv(name, value)
        place = import_place(reelsift.open_dataset(home=local_stack.home).settings, ExtractDatasetForm())
        fetched = list(fetch_each([f"yt8m:{each}" for each in ids], place))
    assert [isinstance(each, FetchedVideo) for each in fetched] == [False, *[True] * 5]
    typed = ("dataset", "extract", "--pool", version.reference, "--limit", "3", "--json")
    run = local_stack.command(*typed, folder=tmp_path)
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    assert (made["rows"], made["extracted"], made["cached"], made["drops"]) == (5, 5, 0, {"withdrawn": 1})
    assert not list(local_stack.home.glob("fetched/*/video"))


def test_a_relative_folder_in_a_form_is_refused(local_stack: LocalStack, long_clips: list[str]) -> None:
    """A run of a deployment works in a folder that is deleted after it: what it wrote there would be lost."""
    for flow, more in (("detect-objects", {"detector": "yolox-nano"}), ("label-videos", {})):
        run_id = local_stack.start(flow, {"sources": long_clips[:1], "out": "found", **more})
        ended = local_stack.ended(run_id, 90)
        assert ended["state_type"] == "FAILED"
        assert "out: 'found' is relative to the folder of a worker" in ended["state"]["message"]


def test_a_batch_whose_machine_dies_is_run_by_another_and_no_video_is_lost(
    local_stack: LocalStack, long_clips: list[str]
) -> None:
    run_id = local_stack.start("detect-objects", form(long_clips))
    processes = local_stack.processes()
    waited(lambda: len(under_way(local_stack, run_id)) == 2, 90, "both batches to get on")
    victim = min(under_way(local_stack, run_id).items(), key=lambda item: item[1])[0]
    worker = psutil.Process(processes[victim])
    for process in [*worker.children(recursive=True), worker]:
        process.send_signal(signal.SIGKILL)
    told = local_stack.command("status")
    assert (told.returncode, "`reelsift up` starts what is dead" in told.stderr) == (1, True)
    assert local_stack.ended(run_id, 150)["state_type"] == "COMPLETED"
    rows = manifest(local_stack, run_id)
    assert [row.source for row in rows] == long_clips
    assert {row.status for row in rows} <= {"done", "cached"}
    states = sorted(batch["state_type"] for batch in local_stack.batches(run_id))
    assert states == ["COMPLETED", "COMPLETED", "CRASHED"]
    assert len({row.run for row in rows if row.worker != victim}) == 2  # its own batch, and what was left of the other
    local_stack.up("--gpu-workers", "2")
    mended = local_stack.parts()
    assert {part["state"] for part in mended.values()} == {"ready"}
    assert [name for name, part in mended.items() if part["pid"] != processes[name]] == [victim]


def test_cancelling_the_parent_cancels_its_batches_and_leaves_no_process(
    local_stack: LocalStack, long_clips: list[str]
) -> None:
    run_id = local_stack.start("detect-objects", form(long_clips, again=True))
    waited(lambda: len(under_way(local_stack, run_id)) == 2, 90, "both batches to get on")
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


def test_a_workers_health_is_answered_on_loopback_alone(local_stack: LocalStack) -> None:
    pool, port = "healthy", free_port()
    local_stack.post("/work_pools/", {"name": pool, "type": "process"})
    command = [sys.executable, "-m", "deployments.worker", "--pool", pool, "--with-healthcheck"]
    variables = {
        "PREFECT_API_URL": str(local_stack.api.base_url),
        "PREFECT_API_AUTH_STRING": ":".join(local_stack.login),
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
    }
    with subprocess.Popen(command, env=local_stack.environment | variables, stdout=subprocess.DEVNULL) as worker:
        try:
            waited(lambda: answers(port), 60, "the worker's health")
            own = psutil.Process(worker.pid).net_connections("inet")
            assert {each.laddr.ip for each in own if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        finally:
            worker.terminate()
            worker.wait(30)
            local_stack.api.delete(f"/work_pools/{pool}", headers=local_stack.token()).raise_for_status()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).json() == {"message": "OK"}
    except httpx.TransportError:
        return False
