"""Videos of 300 frames streamed, 100,000 of them, 35 GB: memory, and videos a second of the loader and of models.

Some 5 GB are written, of made-up frames that nothing makes smaller, and their parts are read again and again, as if
they were others: what is read is as much, but where the system has room it comes out of memory, so the disk is not
measured. Models learn from some of the videos while all are open.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_frames import FRAMES, PEAK, VIDEOS, result_of, write_frames

TOTAL, SHARDS = 100_000, 12
MODELS = ("mean", "lstm", "gru", "attention", "netvlad", "nextvlad", "convolution")
LEARNT, JUDGED = 960, 320  # videos of each model
MOST_MB = 2000

MADE = """
from tasks.contracts.datasets import FilterConfig, PlannedShard
from tasks.datasets.publish import publish
from tasks.records.parts import FILTER_VERSION, options_of, write_part
path, folder, shards = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
config = FilterConfig(label_ids=(22,), level="frame", background="all")
def part(split, first, last):
    planned = [
        PlannedShard(name=f"{split}{n:04d}.tfrecord", partition=f"frame/{split}", md5=f"{split == 'train':d}{n:031x}")
        for n in range(first, last)
    ]
    return write_part(folder / "parts", planned, config, lambda _: path)
started = time.perf_counter()
parts = [part("train", first, min(first + 8, shards)) for first in range(0, shards, 8)] + [part("validate", 0, 1)]
wrote_s = time.perf_counter() - started
manifest = publish(
    folder / "datasets", folder / "parts", parts, slug="cooking", label_ids=[22], labels={22: "Cooking"},
    options=options_of(config), filter_version=FILTER_VERSION,
    splits={"train": "frame/train", "validate": "frame/validate"}, code_revision="",
)
videos = sum(each.rows for each in parts)
print(json.dumps({"videos": videos, "speed": videos / wrote_s, "peak_mb": peak_mb()}))
"""
OPENED = """
import numpy as np
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.load import Videos, load_videos
from tasks.datasets.moments import Moments
dataset, total = open_dataset(Path(sys.argv[1]) / "datasets", "latest"), int(sys.argv[2])
started = time.perf_counter()
few = load_videos(dataset, "train")
opened, times = len(few) / (time.perf_counter() - started), -(-total // len(few))
rows = np.arange(total) % len(few)
counts = np.diff(few.label_offsets)[rows]
videos = Videos(
    few.video_ids[rows], few.features.astype(np.float16)[rows],  # as those of a version of so many are kept
    np.concatenate([[0], np.cumsum(counts)]),
    np.tile(few.label_ids, times)[: counts.sum()], few.is_match[rows], few.space,
    Moments.of_parts(dataset, [*dataset.paths("train")] * times, np.arange(total)),
)
opened_mb = peak_mb()
"""
LOADER = """
places = videos.moments.shuffled(np.random.default_rng(0))
started, worked, seen = time.perf_counter(), time.process_time(), 0
for batch in videos.moments.batches(np.split(places, range(32, len(places), 32))):
    seen += len(batch)
speed, ms = seen / (time.perf_counter() - started), 1000 * (time.process_time() - worked) / seen
figures = {"videos": seen, "speed": speed, "ms": ms, "peak_mb": peak_mb()}
print(json.dumps(figures | {"opened": opened, "opened_mb": opened_mb}))
"""
TRAINED = """
from tasks.classifier.config import PRESETS
from tasks.classifier.train import fit
kinds, learnt, judged, device = sys.argv[3].split(","), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6]
validate, figures = load_videos(dataset, "validate"), {}
for kind in kinds:
    config = PRESETS[kind].model_copy(update={"epochs": 1, "device": device, "use_background": True})
    worked = time.process_time()
    result = fit(
        videos.take(np.arange(total) < learnt), validate.take(np.arange(len(validate)) < judged),
        label_names={22: "Cooking"}, target_label_ids=(22,), config=config, dataset_id="ds-benchmark",
    )
    ms = 1000 * (time.process_time() - worked) / (learnt + judged)
    peak = result.cost.peak_mb if device == "cuda" else max(opened_mb, result.cost.peak_mb, peak_mb())
    figures[kind] = {"speed": result.cost.videos_per_s, "ms": ms, "peak_mb": peak}
print(json.dumps(figures))
"""


def written(folder: Path, shards: int, videos: int) -> dict[str, Any]:
    """Write a version of shards of so many videos of frames, and return what that took."""
    return result_of(PEAK + MADE, write_frames(folder / "trainaa.tfrecord", videos), folder, shards)


def learnt_by(folder: Path, total: int, kinds: Sequence[str], learnt: int, device: str = "cpu") -> dict[str, Any]:
    """Let models learn from some of `total` videos of a version, in one process, and return what each takes."""
    judged = min(learnt, JUDGED)
    return result_of(PEAK + OPENED + TRAINED, folder, total, ",".join(kinds), learnt, judged, device)


def rows(total: int = TOTAL, learnt: int = LEARNT, shards: int = SHARDS) -> Iterator[tuple[str, str, str]]:
    """Yield the figures one after the other."""
    most = f"< {MOST_MB:,} MB"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = written(folder, shards, VIDEOS)
        yield f"{made['videos']:,} videos of {FRAMES} frames filtered to Parquet", shown(made), most
        loader = result_of(PEAK + OPENED + LOADER, folder, total)
        opened = f"{loader['opened']:,.0f} videos/s, {loader['opened_mb']:,.0f} MB with all {total:,} open"
        yield f"{shards * VIDEOS:,} of them checked, and their means computed", opened, most
        yield f"{loader['videos']:,} videos in shuffled batches, no model", shown(loader), most
        for kind in MODELS:
            found = learnt_by(folder, total, [kind], learnt)[kind]  # alone, as the peak of memory is the process's
            share = f"of which the loader takes {loader['ms'] / found['ms']:.0%}"
            yield f"`{kind}` learns from {learnt:,} of them", f"{shown(found)}, {share}", most


def shown(found: dict[str, Any]) -> str:
    """Show a speed, a peak, and the work for each video, which tells more where others work as well."""
    work = f"; {found['ms']:.1f} ms of processor a video" if "ms" in found else ""
    return f"{found['speed']:,.0f} videos/s, {found['peak_mb']:,.0f} MB{work}"
