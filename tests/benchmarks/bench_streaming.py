"""One epoch over 100,000 videos of 300 frames, 35 GB on the disk: memory, and videos a second of loader and models.

All shards are of the same made-up frames under other names: what is read is as much, and no less hard to compress.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tests.benchmarks.bench_frames import FRAMES, PEAK, VIDEOS, result_of, write_frames

TOTAL = 100_000
ROOM = 1.3  # times what is written must be free
MODELS = ("mean", "gru", "attention", "convolution")  # the fastest, which the loader must keep up with, and others
MODEL_VIDEOS = 4800  # that all models but the fastest learn from
MOST_MB = 2000

MADE = """
from tasks.contracts.datasets import PlannedShard
from tasks.datasets.publish import publish
from tasks.records.config import FilterConfig
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
from tasks.datasets.load import load_videos
dataset = open_dataset(Path(sys.argv[1]) / "datasets", "latest")
started = time.perf_counter()
videos = load_videos(dataset, "train")
opened_s, opened_mb = time.perf_counter() - started, peak_mb()
"""
LOADER = """
places = videos.moments.shuffled(np.random.default_rng(0))
started = time.perf_counter()
seen = frames = 0
for batch in videos.moments.batches(np.split(places, range(32, len(places), 32))):
    seen += len(batch)
    frames += len(batch.values)
took_s = time.perf_counter() - started
print(json.dumps({"videos": seen, "frames": frames, "speed": seen / took_s, "peak_mb": peak_mb(),
                  "opened": seen / opened_s, "opened_mb": opened_mb}))
"""
TRAINED = """
from tasks.classifier.config import PRESETS
from tasks.classifier.train import fit
kind, most = sys.argv[2], int(sys.argv[3])
config = PRESETS[kind].model_copy(update={"epochs": 1, "device": "cpu", "use_background": True})
chosen = videos.take(np.arange(len(videos)) < most) if most else videos
result = fit(chosen, load_videos(dataset, "validate"), label_names={22: "Cooking"}, target_label_ids=(22,),
             config=config, dataset_id="ds-benchmark")
print(json.dumps({"videos": len(chosen), "speed": result.cost.videos_per_s, "peak_mb": max(peak_mb(), opened_mb)}))
"""


def rows(total: int = TOTAL) -> Iterator[tuple[str, str, str]]:
    """Yield the figures one after the other; of fewer videos where the disk has no room for them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = max(1, min(total, room_for(folder)) // VIDEOS)
        made = result_of(PEAK + MADE, write_frames(folder / "trainaa.tfrecord"), folder, shards)
        what = f"{made['videos']:,} videos of {FRAMES} frames"
        yield f"{what}: filtered to Parquet", shown(made), f"< {MOST_MB:,} MB"
        loader = result_of(PEAK + OPENED + LOADER, folder)
        opened = f"{loader['opened']:,.0f} videos/s, {loader['opened_mb']:,.0f} MB"
        yield f"{what}: checked, and their means computed", opened, f"< {MOST_MB:,} MB"
        yield f"{loader['videos']:,} of them: shuffled batches, no model", shown(loader), f"< {MOST_MB:,} MB"
        for kind in MODELS:
            most = 0 if kind == MODELS[0] else MODEL_VIDEOS
            found = result_of(PEAK + OPENED + TRAINED, folder, kind, most)
            share = f"the loader alone: {loader['speed'] / found['speed']:.1f} x as fast"
            yield f"{found['videos']:,} of them: `{kind}` learns", f"{shown(found)}; {share}", f"< {MOST_MB:,} MB"


def room_for(folder: Path) -> int:
    """Return how many videos the disk has room for."""
    return int(shutil.disk_usage(folder).free / ROOM) // (FRAMES * (RGB_SIZE + AUDIO_SIZE))


def shown(found: dict[str, Any]) -> str:
    """Show a speed and a peak."""
    return f"{found['speed']:,.0f} videos/s, {found['peak_mb']:,.0f} MB"
