"""What a pool costs: seconds for each batch, milliseconds for each video, and how long a batch must be not to mind.

Both sides do the same work with the same small network: a run of detect-objects over a real stack with one worker, and
the same function called for one video after the other in this process. Two batches of different size tell what is paid
once for each batch from what is paid for each video.
"""

import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from conf.settings import load_weights_table
from tasks.detection.config import DetectOptions
from tasks.fan_out.batching import MANIFEST_NAME, read_manifest
from tasks.per_video.fetching import Workplace, fetch_each
from tasks.per_video.jobs import do_each
from tasks.per_video.work import DetectWork, open_job
from tasks.shards.config import DownloadConfig
from tasks.video.config import FetchConfig, MediaBounds
from tasks.weights.store import WeightsStore
from tests.support.local_stack import LocalStack
from tests.support.square_network import square_network
from tests.support.square_videos import write_clip

FEW, MANY = 1, 200
FRAMES = 10
SHARE = 0.05  # of a batch's work that its start may cost
WITHIN_S = 300


def rows() -> list[tuple[str, str, str]]:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = _clips(folder / "clips")
        weights = folder / "weights"
        weights.mkdir()
        (weights / "yolox_nano.onnx").write_bytes(square_network())
        direct_s = _direct(sources[FEW:], folder / "direct", weights) / MANY
        stack = LocalStack(folder / "home", REELSIFT_WEIGHTS=str(weights), REELSIFT_POOL__BATCH_S="3600")
        up = stack.up("--gpu-workers", "1")
        try:
            few, _ = _batch(stack, sources[:FEW])
            many, begun_s = _batch(stack, sources[FEW:])
            again_s = _whole(stack, sources[FEW:])
        finally:
            began_s = time.monotonic()
            stack.down()
            down_s = time.monotonic() - began_s
    slope_s = (many - few) / (MANY - FEW)
    batch_s = few - FEW * slope_s
    return [
        ("`reelsift up`, with one worker of the pool gpu", f"{up['seconds']:.0f} s", "90 s"),
        ("`reelsift down`", f"{down_s:.0f} s", "20 s"),
        ("a batch: from being handed out to its first video, and its end", f"{batch_s:.1f} s", "-"),
        ("of which until a worker's process has begun", f"{begun_s:.1f} s", "-"),
        (
            f"a video more in a batch, beside the same in a plain loop ({direct_s * 1000:.0f} ms)",
            f"{(slope_s - direct_s) * 1000:+.0f} ms",
            "-",
        ),
        (f"work in a batch for its start to cost {SHARE:.0%}", f"{batch_s / SHARE:.0f} s", "300 s, the default"),
        (f"{MANY} videos again, nothing to do: the whole run", f"{again_s:.1f} s", "-"),
    ]


def _clips(folder: Path) -> list[str]:
    """Write clips, each of its own content."""
    folder.mkdir()
    for number in range(FEW + MANY):
        scene = [("apple", 4 + 8 * (number % 12), 4 + 8 * (number // 12 % 12)), ("cup", 4 + 8 * (number // 144), 92)]
        write_clip(folder / f"clip-{number:03}.mp4", [scene] * FRAMES)
    return [str(path) for path in sorted(folder.iterdir())]


def _direct(sources: list[str], out: Path, weights: Path) -> float:
    """Return the seconds of looking at the videos here."""
    store = WeightsStore(folder=weights, given=weights, table=load_weights_table())
    workplace = Workplace(
        fetched=out / "fetched",
        out=out / "videos",
        fetch=FetchConfig(),
        download=DownloadConfig(),
        bounds=MediaBounds(),
        weights=store,
    )
    work = DetectWork(detector="yolox-nano", speed="normal", options=DetectOptions(annotate=False))
    job = open_job(work, workplace)
    began_s = time.monotonic()
    outcomes = list(do_each(job, fetch_each(sources, workplace)))
    assert {outcome.status for outcome in outcomes} == {"done"}
    return time.monotonic() - began_s


def _batch(stack: LocalStack, sources: list[str]) -> tuple[float, float]:
    """Return how long the batch of these videos took from being handed out, and until its process had begun."""
    run_id = stack.start("detect-objects", _form(sources))
    assert stack.ended(run_id, WITHIN_S)["state_type"] == "COMPLETED"
    assert {row.status for row in read_manifest(stack.home / "batches" / run_id / MANIFEST_NAME)} == {"done"}
    (batch,) = stack.batches(run_id)
    created_s, begun_s, ended_s = (_seconds(batch, name) for name in ("created", "start_time", "end_time"))
    return ended_s - created_s, begun_s - created_s


def _whole(stack: LocalStack, sources: list[str]) -> float:
    """Return how long a run took that found everything there."""
    run_id = stack.start("detect-objects", _form(sources))
    run = stack.ended(run_id, WITHIN_S)
    assert not stack.batches(run_id)
    return _seconds(run, "end_time") - _seconds(run, "created")


def _form(sources: list[str]) -> dict[str, Any]:
    return {"sources": sources, "detector": "yolox-nano", "annotate": False}


def _seconds(run: dict[str, Any], name: str) -> float:
    return datetime.fromisoformat(run[name]).timestamp()
