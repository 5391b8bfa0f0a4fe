"""Downloads that are killed, interrupted, run twice at once, or meet a full disk: in processes of their own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.shards.config import DownloadConfig
from tasks.shards.download import DownloadReport, download_shards
from tests.shards.conftest import noise, quick, shards_of, write_plan
from tests.support.mirror_server import Fault, MirrorProcess, MirrorServer

ROOT = Path(__file__).parents[2]
SHARDS = 8
SIZE_BYTES = 1_000_000
SLOW_BYTES_PER_S = 1_000_000.0
CONNECTIONS = 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mirror with eight files of 1 MB."""
    folder = tmp_path / "mirror"
    write_plan(folder, "video/train", {f"traina{n}.tfrecord": noise(SIZE_BYTES, n) for n in range(SHARDS)})
    return folder


@pytest.fixture
def slow_server(folder: Path) -> Iterator[MirrorServer]:
    with MirrorServer(folder, bytes_per_s=SLOW_BYTES_PER_S) as server:
        yield server


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def command(out: Path, config: DownloadConfig) -> list[str]:
    return [sys.executable, "-m", "tests.shards.run_download", str(out), config.model_dump_json()]


@contextmanager
def running(out: Path, config: DownloadConfig) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(command(out, config), stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def files_in(out: Path, suffix: str) -> list[Path]:
    return sorted(out.rglob(f"*{suffix}"))


def assert_right(out: Path, folder: Path) -> None:
    """Compare each file under a final name with its original: `train0052` is `traina0`, and so on."""
    for path in files_in(out, ".tfrecord"):
        original = folder / f"2/video/train/traina{int(path.stem.removeprefix('train')) - 52}.tfrecord"
        assert path.read_bytes() == original.read_bytes()


def test_kill_9_loses_only_what_was_in_flight(slow_server: MirrorServer, folder: Path, out: Path) -> None:
    config = quick(slow_server.url, connections=CONNECTIONS)
    with running(out, config) as process:
        wait_until(lambda: len(files_in(out, ".tfrecord")) >= 2)
        wait_until(lambda: sum(path.stat().st_size for path in files_in(out, ".part")) > SIZE_BYTES // 4)
        process.send_signal(signal.SIGKILL)
    assert_right(out, folder)
    there = len(files_in(out, ".tfrecord"))
    kept_bytes = sum(path.stat().st_size for path in files_in(out, ".part"))
    assert 2 <= there < SHARDS
    assert kept_bytes > SIZE_BYTES // 4

    with MirrorServer(folder) as server:
        report = download_shards(shards_of(folder), out, quick(server.url))
        assert (report.skipped, report.fetched, report.failed) == (there, SHARDS - there, ())
        assert report.resumed >= 1
        assert server.bytes_sent() == (SHARDS - there) * SIZE_BYTES - kept_bytes
    assert_right(out, folder)
    assert len(files_in(out, ".tfrecord")) == SHARDS
    assert files_in(out, ".part") == []


def test_killed_again_and_again_it_ends_all_the_same(slow_server: MirrorServer, folder: Path, out: Path) -> None:
    slow_server.bytes_per_s = 4 * SLOW_BYTES_PER_S
    config = quick(slow_server.url, connections=CONNECTIONS)
    for _ in range(2):
        enough = sum(slow_server.gets().values()) + 4
        with running(out, config) as process:
            wait_until(lambda enough=enough: sum(slow_server.gets().values()) >= enough)
            process.send_signal(signal.SIGKILL)
        assert_right(out, folder)
    report = download_shards(shards_of(folder), out, config)
    assert report.failed == ()
    assert_right(out, folder)
    assert len(files_in(out, ".tfrecord")) == SHARDS


@pytest.mark.parametrize("silent", [False, True], ids=["while bytes come", "while the server is silent"])
def test_ctrl_c_ends_it_promptly(silent: bool, slow_server: MirrorServer, folder: Path, out: Path) -> None:
    if silent:
        slow_server.always("*", Fault(stall_after=100_000))
        slow_server.always("2/download_plans/video_train.json", Fault())
    with running(out, quick(slow_server.url, connections=CONNECTIONS, read_timeout_s=60)) as process:
        wait_until(lambda: sum(path.stat().st_size for path in files_in(out, ".part")) >= 100_000)
        started_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert time.monotonic() - started_s < 5
    assert "KeyboardInterrupt" in errors
    assert process.returncode != 0
    assert_right(out, folder)
    slow_server.heal()
    slow_server.bytes_per_s = None
    assert download_shards(shards_of(folder), out, quick(slow_server.url)).resumed >= 1
    assert_right(out, folder)


def test_two_processes_share_the_work(slow_server: MirrorServer, folder: Path, out: Path) -> None:
    slow_server.bytes_per_s = 8 * SLOW_BYTES_PER_S
    config = quick(slow_server.url)
    with running(out, config) as one, running(out, config) as two:
        reports = [
            DownloadReport.model_validate_json(process.communicate(timeout=60)[0].splitlines()[0])
            for process in (one, two)
        ]
    assert [len(report.shards) for report in reports] == [SHARDS, SHARDS]
    assert sum(report.fetched for report in reports) == sum(report.skipped for report in reports) == SHARDS
    assert all(count == 1 for path, count in slow_server.gets().items() if path.endswith(".tfrecord"))
    assert_right(out, folder)
    assert files_in(out, ".part") == []


def test_memory_does_not_grow_with_the_file(tmp_path: Path, out: Path) -> None:
    write_plan(tmp_path, "video/train", {"trainaa.tfrecord": noise(100_000)})
    with MirrorProcess(tmp_path) as server, running(out / "small", quick(server.url)) as process:
        small_bytes = int(process.communicate(timeout=60)[0].split()[-1])
    write_plan(tmp_path, "video/train", {"trainaa.tfrecord": bytes(150_000_000)})
    with MirrorProcess(tmp_path) as server, running(out / "large", quick(server.url)) as process:
        large_bytes = int(process.communicate(timeout=60)[0].split()[-1])
    assert large_bytes - small_bytes < 20_000_000


def test_a_file_that_may_not_grow_is_one_clear_error(folder: Path, out: Path) -> None:
    with MirrorServer(folder) as server:
        limited = subprocess.run(
            command(out, quick(server.url)),
            env=os.environ | {"REELSIFT_TEST_FILE_BYTES": str(SIZE_BYTES // 2)},
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        assert limited.returncode == 1
        assert limited.stderr.startswith("DiskSpaceError: No room for ")
        assert limited.stderr.count("\n") == 1
        assert files_in(out, ".tfrecord") == []
        assert download_shards(shards_of(folder), out, quick(server.url)).fetched == SHARDS
    assert_right(out, folder)


def test_a_disk_that_fills_up_on_the_way_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    """A file system of 4 MB takes 8 MB; lengths are hidden, so that nothing can be known before."""
    out = tmp_path / "disk"
    out.mkdir()
    check = subprocess.run(_mounted(out, "true"), capture_output=True, text=True, check=False)
    if check.returncode:
        pytest.skip(f"no file system can be mounted here: {check.stderr.strip()}")
    kept = tmp_path / "kept"
    with MirrorServer(folder) as server:
        for shard in shards_of(folder):
            server.always(f"2/video/train/{shard.name}", Fault(no_length=True))
        script = f'"$@"; code=$?; cp -r {out} {kept}; exit $code'
        full = subprocess.run(
            [*_mounted(out, script), *command(out, quick(server.url, attempts=1))],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
    assert full.returncode == 1, full.stderr
    assert "DiskSpaceError: No room for " in full.stderr
    assert full.stderr.count("\n") == 1
    assert_right(kept, folder)
    with MirrorServer(folder) as server:
        assert download_shards(shards_of(folder), kept, quick(server.url)).failed == ()
    assert_right(kept, folder)
    assert len(files_in(kept, ".tfrecord")) == SHARDS


def _mounted(place: Path, script: str) -> list[str]:
    """Return a command that runs `script` where a small file system is mounted at `place`, seen by it alone."""
    unshare = shutil.which("unshare") or "unshare"
    mount = f"mount -t tmpfs -o size=4m none {place} && {{ {script}; }}"
    return [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
