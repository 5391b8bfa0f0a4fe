"""Frame-level shards: read beside TensorFlow's own parser, filtered and loaded in flat memory, and mutated.

Both sides of a comparison take turns in one process each, on one thread, and their best pass counts.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.synthetic import encode_sequence, write_shard

FRAMES, VIDEOS, SHARDS = 300, 1200, 4  # of a video, of a shard: as large as the real ones, 0.4 GB
STREAMED = (2, 12)  # shards: 2,400 and 14,400 videos; 100,000 would be 35 GB
PASSES = 5
MUTATED, SEEDS = 100_000, 4

OURS = """
from pathlib import Path
from tasks.contracts.datasets import FilterConfig, Shard
from tasks.records.filter import filter_shard
config = FilterConfig(label_ids=(22,), level="frame", background="all")
shard = Shard(name=path.name, partition="frame/train", md5="0" * 32, size_bytes=path.stat().st_size, path=path)
def work():
    filtered = filter_shard(shard, config)
    return sum(table.num_rows for table in filtered.tables())
"""
TENSORFLOW = """
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
one = tf.io.FixedLenSequenceFeature([], tf.string)
context = {"id": tf.io.FixedLenFeature([], tf.string), "labels": tf.io.VarLenFeature(tf.int64)}
def parse(record):
    found, lists = tf.io.parse_single_sequence_example(record, context, {"rgb": one, "audio": one})
    return found["id"], found["labels"].values, decode(lists["rgb"]), decode(lists["audio"])
def work():
    return sum(1 for _ in tf.data.TFRecordDataset(str(path)).map(parse))
"""
DECODED = "decode = lambda frames: tf.io.decode_raw(frames, tf.uint8)" + TENSORFLOW
PARSED = "decode = lambda frames: frames" + TENSORFLOW
TURNS = """
import json, os, sys, time
from pathlib import Path
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
path = Path(sys.argv[1])
{side}
work()
best = 1e9
for _ in range({passes}):
    started = time.process_time()
    videos = work()
    best = min(best, time.process_time() - started)
print(json.dumps(videos / best))
"""
PEAK = """
import json, sys, time
from pathlib import Path
from tests.support.peak_memory import peak_mb
"""
FILTER = """
from tasks.contracts.datasets import FilterConfig, PlannedShard
from tasks.datasets.publish import publish
from tasks.records.parts import FILTER_VERSION, options_of, write_part
path, folder, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
config = FilterConfig(label_ids=(22,), level="frame", background="all")
shards = [PlannedShard(name=f"traina{n:02d}.tfrecord", partition="frame/train", md5=f"{n:032x}") for n in range(count)]
started = time.perf_counter()
part = write_part(folder / "parts", shards, config, lambda _: path)
wrote_s = time.perf_counter() - started
manifest = publish(
    folder / "datasets", folder / "parts", [part], slug="cooking", label_ids=[22], labels={22: "Cooking"},
    options=options_of(config), filter_version=FILTER_VERSION, splits={"train": "frame/train"}, code_revision="",
)
print(json.dumps({"videos": part.rows, "speed": part.rows / wrote_s, "peak_mb": peak_mb()}))
"""
LOAD = """
import torch
from tasks.datasets.catalogue import open_dataset
from tasks.datasets.frames import frame_batches
torch.set_num_threads(1)
dataset, is_dequantised = open_dataset(Path(sys.argv[1]) / "datasets", "latest"), sys.argv[2] == "floats"
videos, started = 0, time.perf_counter()
for batch in frame_batches(dataset, "train", videos=64, seed=0, check=False):
    videos += len(batch)
    if is_dequantised:
        features, offsets = batch.tensors("cpu")
print(json.dumps({"speed": videos / (time.perf_counter() - started), "peak_mb": peak_mb()}))
"""


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield the figures one after the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_frames(folder / "trainaa.tfrecord")
        ours, parsed, decoded = (_videos_a_second(side, path) for side in (OURS, PARSED, DECODED))
        yield f"{VIDEOS:,} videos of {FRAMES} frames from a shard to Arrow: {ours:,.0f} videos/s", "", ""
        what = f"beside `parse_single_sequence_example` and `decode_raw` ({decoded:,.0f} videos/s)"
        yield what, f"{ours / decoded:.1f} x", "at least 5 x"
        yield f"beside the former alone, frames as texts ({parsed:,.0f} videos/s)", f"{ours / parsed:.1f} x", "-"
        for shards in STREAMED:
            made = folder / str(shards)
            filtered = result_of(PEAK + FILTER, path, made, shards)
            loaded, floats = (result_of(PEAK + LOAD, made, kind) for kind in ("bytes", "floats"))
            sides = {"filtered to Parquet": filtered, "shuffled ragged batches": loaded}
            for what, found in (sides | {"the same, dequantised to float32 on one core": floats}).items():
                measured = f"{found['speed']:,.0f} videos/s, {found['peak_mb']:,.0f} MB"
                yield f"{filtered['videos']:,} videos: {what}", measured, "< 2,000 MB"
    yield _mutated()


def write_frames(path: Path, videos: int = VIDEOS) -> Path:
    """Write a shard, by default as large as the real ones of the train partition."""
    rng = np.random.default_rng(0)

    def payloads() -> Iterator[bytes]:
        for number in range(videos):
            rgb, audio = (rng.integers(0, 256, (FRAMES, size), np.uint8) for size in (RGB_SIZE, AUDIO_SIZE))
            yield encode_sequence(f"{number:04d}".encode(), [22, 3] if number % 2 else [3], rgb, audio)

    write_shard(path, payloads())
    return path


def _videos_a_second(side: str, path: Path) -> float:
    return result_of(TURNS.format(side=side, passes=PASSES), path)


def result_of(code: str, *arguments: object) -> Any:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def _mutated() -> tuple[str, str, str]:
    """Mutate shards of frames, each right before memory that nobody may touch."""
    seeds = [str(seed) for seed in range(SEEDS)]
    command = [sys.executable, "-m", "tests.records.fuzz", "0", str(MUTATED // SEEDS), *seeds]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    kept = sum(result["verdicts"][name] for name in ("MATCH", "NO_MATCH", "EXCLUDED"))
    dropped = sum(result["verdicts"].values()) - kept
    return f"{result['shards']:,} mutated shards: {dropped:,} records dropped, {kept:,} kept", "no crash", "no crash"
