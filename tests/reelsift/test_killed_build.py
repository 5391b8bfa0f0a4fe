"""`kill -9` in the middle of a build: the next one finishes, with the same id and not one byte different."""

import hashlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from tests.reelsift.test_cli import REELSIFT, reelsift
from tests.support.mirror_server import MirrorServer

WORDS = ("dataset", "build", "--label", "Cooking", "--background", "2", "--mirror")
KILLS = 6
BYTES_PER_S = 2_500_000  # slow enough that most kills meet a download, fast enough that some meet what follows


def environment(home: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REELSIFT_", "PREFECT_"))}
    return clean | {"REELSIFT_HOME": str(home), "PREFECT_API_URL": str(PREFECT_API_URL.value())}


def build(url: str, home: Path) -> None:
    run = reelsift(*WORDS, url, home=home, PREFECT_API_URL=str(PREFECT_API_URL.value()))
    assert run.returncode == 0, run.stderr


def build_and_kill(url: str, home: Path, after_s: float, server: MirrorServer) -> bool:
    """Kill a build `after_s` seconds after its first request; return whether it was still running."""
    before = len(server.log)
    process = subprocess.Popen(
        [str(REELSIFT), *WORDS, url], env=environment(home), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and len(server.log) == before:
        time.sleep(0.01)
    time.sleep(after_s)
    was_running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return was_running


def versions(home: Path) -> dict[str, str]:
    """Hash all that a reader of datasets can see."""
    folder = home / "datasets"
    files = (
        path for path in folder.rglob("*") if path.is_file() and not any(part[0] == "." for part in path.parts[-2:])
    )
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.usefixtures("prefect_server")
def test_a_build_that_was_killed_again_and_again_ends_the_same(synthetic_mirror: Path, tmp_path: Path) -> None:
    with MirrorServer(synthetic_mirror, latency_s=0.05, bytes_per_s=BYTES_PER_S) as server:
        build(server.url, tmp_path / "reference")
        asked = Counter(request.path for request in server.log if request.method == "GET")
        delays = random.Random(0)
        killed = [build_and_kill(server.url, tmp_path / "killed", delays.uniform(0, 2.5), server) for _ in range(KILLS)]
        build(server.url, tmp_path / "killed")
    assert any(killed)
    # The command and the flow that it runs plan once between them: whole partitions, so that nothing bounds the plans.
    plans = {path: times for path, times in asked.items() if "/download_plans/" in path}
    assert len(plans) == 2
    assert set(plans.values()) == {1}
    expected = versions(tmp_path / "reference")
    assert expected
    assert versions(tmp_path / "killed") == expected
