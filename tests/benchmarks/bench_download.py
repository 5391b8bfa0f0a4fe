"""Downloading from a mirror that takes 50 ms to answer: this program beside the official script's loop.

The server runs in a process of its own; both sides fetch, check and write the same files, and the best of three runs of
each counts.

The official loop is written again after http://data.yt8m.org/download.py: one file at a time, a connection for each,
the whole file in memory, written, then read again for its md5, and the plan that remains saved after each file.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from tasks.contracts.datasets import PlannedShard
from tasks.records.synthetic import write_mirror
from tasks.shards.config import DownloadConfig
from tasks.shards.download import download_shards
from tasks.shards.plan import fetch_plan, saved_name
from tests.conftest import REAL_DATA
from tests.support.mirror_server import Fault, MirrorProcess, MirrorServer

LATENCY_S = 0.05
REPEATS = 3
REQUIRED_RATIO = 6.0
PARTITION = "video/train"


def rows() -> list[tuple[str, str, str]]:
    """Return what was measured: (what, measured, required)."""
    with TemporaryDirectory(prefix="reelsift-bench-") as folder:
        mirror = REAL_DATA / "yt8m-mirror"
        if not mirror.is_dir():
            mirror = Path(folder) / "mirror"
            write_mirror(mirror, train_shards=70, validate_shards=1)
        plan = fetch_plan(PARTITION, DownloadConfig(mirrors=(str(mirror),)))
        return [*speed_rows(mirror, plan), resume_row(mirror, plan)]


def speed_rows(mirror: Path, plan: tuple[PlannedShard, ...]) -> list[tuple[str, str, str]]:
    """Time both sides over the whole plan."""
    with MirrorProcess(mirror, LATENCY_S) as server:
        config = DownloadConfig(mirrors=(server.url,))
        official_s = best_of(lambda folder: official_loop(server.url, plan, folder))
        ours_s = best_of(lambda folder: fetch_all(plan, folder, config))
    megabytes = sum((mirror / "2" / PARTITION / shard.name).stat().st_size for shard in plan) / 1e6
    what = f"{len(plan)} files, {megabytes:.0f} MB, {LATENCY_S * 1000:.0f} ms a request"
    return [
        (f"official loop: {what}", f"{official_s:.2f} s, {megabytes / official_s:.0f} MB/s", ""),
        (f"reelsift, {config.connections} connections", f"{ours_s:.2f} s, {megabytes / ours_s:.0f} MB/s", ""),
        ("ratio", f"{official_s / ours_s:.1f} x", f">= {REQUIRED_RATIO:.0f} x"),
    ]


def resume_row(mirror: Path, plan: tuple[PlannedShard, ...]) -> tuple[str, str, str]:
    """Cut a file in the middle, and count the bytes that travel after that."""
    shard = plan[0]
    path = f"2/{PARTITION}/{shard.name}"
    size_bytes = (mirror / path).stat().st_size
    missing_bytes = size_bytes - size_bytes // 2
    with MirrorServer(mirror) as server, TemporaryDirectory() as folder:
        server.script(path, Fault(cut_after=size_bytes // 2))
        fetch_all((shard,), Path(folder), DownloadConfig(mirrors=(server.url,)))
        sent_bytes = server.log[-1].bytes_sent
    return (f"bytes sent after a cut in the middle of {size_bytes}", str(sent_bytes), f"= {missing_bytes}")


def fetch_all(plan: tuple[PlannedShard, ...], folder: Path, config: DownloadConfig) -> None:
    """Fetch a plan with this program."""
    assert download_shards(plan, folder, config).fetched == len(plan)


def official_loop(url: str, plan: tuple[PlannedShard, ...], folder: Path) -> None:
    """Fetch a plan as the official script does."""
    remaining = {shard.name: shard.md5 for shard in plan}
    for name, md5 in tuple(remaining.items()):
        path = folder / saved_name(name)
        with urlopen(f"{url}/2/{PARTITION}/{name}") as response:
            path.write_bytes(response.read())
        assert md5_in_blocks(path) == md5
        del remaining[name]
        (folder / "plan.json").write_text(json.dumps(remaining))


def md5_in_blocks(path: Path) -> str:
    """Digest a file in blocks of 8 KiB."""
    md5 = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(128 * md5.block_size):
            md5.update(block)
    return md5.hexdigest()


def best_of(download: Callable[[Path], None]) -> float:
    """Return the seconds of the fastest of a few runs, each into an empty folder."""
    seconds = []
    for _ in range(REPEATS):
        with TemporaryDirectory() as folder:
            started_s = time.perf_counter()
            download(Path(folder))
            seconds.append(time.perf_counter() - started_s)
    return min(seconds)


if __name__ == "__main__":
    for what, measured, required in rows():
        print(f"{what:58}{measured:24}{required}")
