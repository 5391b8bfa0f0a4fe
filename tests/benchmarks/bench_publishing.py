"""Two processes that detect in one video at the same time, with other options, into one folder: no mixture is left."""

import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pyarrow.parquet as pq

from conf.settings import load_weights_table
from tasks.contracts.files import is_whole
from tasks.contracts.media import OBJECTS_NAME, OBJECTS_TABLE_NAME, ObjectsManifest
from tasks.detection.config import DetectOptions
from tasks.per_video.fetching import Workplace
from tasks.per_video.jobs import alone, do_each
from tasks.per_video.work import DetectWork, open_job
from tasks.shards.config import DownloadConfig
from tasks.video.config import FetchConfig, MediaBounds
from tasks.video.fetch import fetch_video
from tasks.weights.store import WeightsStore
from tests.support.square_network import square_network
from tests.support.square_videos import write_clip

ROUNDS = 500
RATES_HZ = (2.0, 5.0)  # of a clip of 10 frames a second: tables of 4 and of 10 rows
FRAMES = 20


def rows() -> list[tuple[str, str, str]]:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "weights").mkdir()
        (folder / "weights" / "yolox_nano.onnx").write_bytes(square_network())
        write_clip(folder / "clip.mp4", [[("apple", 4, 4)]] * FRAMES)
        both = [stack.enter_context(_started(folder, rate_hz)) for rate_hz in RATES_HZ]
        found = Counter(_round(folder, both) for _ in range(ROUNDS))
    whole = sum(count for verdict, count in found.items() if verdict in map(str, RATES_HZ))
    last = " and ".join(f"{found[str(rate_hz)]}" for rate_hz in RATES_HZ)
    others = {verdict: count for verdict, count in found.items() if verdict not in map(str, RATES_HZ)}
    what = f"rounds of two processes on one video that leave a mixture, of {ROUNDS}"
    return [(what, f"{ROUNDS - whole} ({last} rounds won by each{f', {others}' if others else ''})", "0")]


def _started(folder: Path, rate_hz: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.benchmarks.bench_publishing", str(folder), str(rate_hz)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _round(folder: Path, both: list[subprocess.Popen[str]]) -> str:
    """Let both detect at once; return whose answer is left whole, or what is wrong."""
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        assert process.stdout is not None
        answer = process.stdout.readline().strip()
        if answer != "done":
            return answer
    (left,) = (folder / "out").iterdir()
    manifest = ObjectsManifest.model_validate_json((left / OBJECTS_NAME).read_bytes())
    table = pq.read_table(left / OBJECTS_TABLE_NAME)
    if table.num_rows != manifest.boxes or not is_whole(left, manifest.files):
        return "mixture"
    return str(manifest.options["rate_hz"])


def _detect(folder: Path, rate_hz: float) -> None:
    """Detect once for each line on stdin, and say what became of it."""
    weights = WeightsStore(folder=folder / "none", given=folder / "weights", table=load_weights_table())
    workplace = Workplace(
        fetched=folder / "fetched",
        out=folder / "out",
        fetch=FetchConfig(),
        download=DownloadConfig(),
        bounds=MediaBounds(),
        weights=weights,
    )
    options = DetectOptions(rate_hz=rate_hz, annotate=False)
    job = open_job(DetectWork(detector="yolox-nano", speed="normal", options=options), workplace)
    video = fetch_video(str(folder / "clip.mp4"), workplace.fetched, workplace.fetch, workplace.download)
    for _ in sys.stdin:
        outcome = alone(video.source, lambda: next(iter(do_each(job, [video], again=True))))
        print(outcome.reason or outcome.status, flush=True)


if __name__ == "__main__":
    _detect(Path(sys.argv[1]), float(sys.argv[2]))
