"""Records a second through the filter, beside the notebook loop that it replaces: the same shards, CRC on, warm cache.

The loop is `tf_record_iterator`, `Example.FromString` and a pandas frame. Each side runs in a process of its own, and
their passes take turns, so that neither a warm cache nor a busy neighbour favours one; each side's best pass counts.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.synthetic import ALPHABET, encode_example, write_shard
from tests.conftest import REAL_DATA

SMALL_SHARDS, SMALL_VIDEOS, SMALL_SHARE = 100, 290, 0.019  # as the real ones of the validate partition
SHARDS, VIDEOS = 64, 1000  # as large as those of the train partition: 64,000 records, 300 MB
ROUNDS = 12  # each side in turn
PASSES = 2  # of a side before it is another one's turn
WANTED, OTHERS = 22, (0, 1, 4, 7, 11)

LOOP = """
import warnings; warnings.filterwarnings("ignore")
import logging; logging.disable()
import pandas as pd, tensorflow as tf
def work():
    rows, records = [], 0
    for path in paths:
        for record in tf.compat.v1.io.tf_record_iterator(path):
            records += 1
            features = tf.train.Example.FromString(record).features.feature
            labels = list(features["labels"].int64_list.value)
            if 22 in labels:
                rows.append({
                    "video_id": features["id"].bytes_list.value[0].decode(),
                    "labels": labels,
                    "mean_rgb": list(features["mean_rgb"].float_list.value),
                    "mean_audio": list(features["mean_audio"].float_list.value),
                })
    return records, pd.DataFrame(rows)
def plain(frame):
    return frame.to_dict("records")
"""
OURS = """
from tasks.contracts.datasets import FilterConfig, Shard
from tasks.records.filter import filter_shards
config = FilterConfig.model_validate({"label_ids": (22,)})
def shard(path):
    return Shard(name=path.name, partition="video/train", md5="0" * 32, size_bytes=path.stat().st_size, path=path)
def filtered(paths):
    return filter_shards([shard(Path(path)) for path in paths], config, threads)
started = time.perf_counter()
filtered(paths[:1])
start_s = time.perf_counter() - started
def work():
    done = filtered(paths)
    return sum(tally.records for tally in done.tallies), done.table
def plain(table):
    return table.to_pylist()
"""
TO_DISK = """
import pyarrow.parquet as pq
from tasks.contracts.datasets import FilterConfig, PlannedShard
from tasks.records.parts import write_part
config = FilterConfig.model_validate({"label_ids": (22,)})
where = {Path(path).name: Path(path) for path in paths}
shards = [PlannedShard(name=name, partition="video/train", md5=f"{n:032x}") for n, name in enumerate(where)]
write_part(Path(folder, "warm-up"), shards[:1], config, lambda shard: where[shard.name])
def work():
    store = Path(tempfile.mkdtemp(dir=folder))
    part = write_part(store, shards, config, lambda shard: where[shard.name])
    return sum(tally.records for tally in part.shards), store / part.path
def plain(path):
    return pq.read_table(path).to_pylist()
"""
FRAME = """
import hashlib, json, struct, sys, tempfile, time
from pathlib import Path
from tests.support.peak_memory import peak_mb
paths = sorted(str(path) for path in Path(sys.argv[1]).rglob("*.tfrecord"))
folder, start_s = tempfile.mkdtemp(dir=sys.argv[2]), None
{side}
def digest(rows):
    content = sorted(
        (row["video_id"], row["labels"], *(struct.pack(f"<{{len(row[name])}}f", *row[name]) for name in vectors))
        for row in rows
    )
    return hashlib.sha256(repr(content).encode()).hexdigest()
vectors = ("mean_rgb", "mean_audio")
work()
print(json.dumps({{"start_s": start_s}}), flush=True)
for passes in map(int, sys.stdin):
    if passes == 0:  # the last turn: as Python's own numbers, rows take far more memory
        records, rows = work()
        rows = plain(rows)
        print(json.dumps({{"records": records, "rows": len(rows), "digest": digest(rows)}}), flush=True)
        continue
    times = []
    for _ in range(passes):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    print(json.dumps({{"seconds": min(times), "peak_mb": peak_mb()}}), flush=True)
"""
SIDES = {"loop": LOOP, "one": "threads = 1" + OURS, "two": "threads = 2" + OURS, "disk": TO_DISK}


class _Side:
    """A process that makes a pass over all shards whenever it is asked to."""

    def __init__(self, code: str, shards: Path, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", FRAME.format(side=code), str(shards), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.start_s = self._answer()["start_s"]
        self.seconds, self.peak_mb = float("inf"), 0.0

    def take_turn(self) -> None:
        turn = self._asked(PASSES)
        self.seconds, self.peak_mb = min(self.seconds, turn["seconds"]), turn["peak_mb"]

    def result(self) -> tuple[int, int, str]:
        """Return the number of records, of rows, and a digest of the rows."""
        result = self._asked(0)
        return result["records"], result["rows"], result["digest"]

    def _asked(self, passes: int) -> dict[str, Any]:
        assert self.process.stdin
        print(passes, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"a side ended with the status {self.process.wait()}"
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def rows() -> list[tuple[str, str, str]]:
    """Measure small shards, real ones where they are there, and large ones at two shares of wanted records."""
    real = REAL_DATA / "yt8m-mirror" / "2" / "video"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, few, many = (folder / each for each in ("small", "few", "many"))
        if not real.is_dir():
            write_shards(small, SMALL_SHARE, SMALL_SHARDS, SMALL_VIDEOS)
        write_shards(few, 0.013)
        write_shards(many, 0.15)
        return [
            *(_compared(real, folder, "real", 4, 7) if real.is_dir() else _compared(small, folder, "small", 4, 7)),
            *_compared(few, folder, "large", None, 4),
            *_compared(many, folder, "large", None, 6),
        ]


def _compared(shards: Path, folder: Path, kind: str, on_one: int | None, on_two: int) -> list[tuple[str, str, str]]:
    """Compare the sides on shards that lie there; `on_one` and `on_two` threads are held to so many times the loop."""
    _Side(SIDES["one"], shards, folder).__exit__()  # compiles where no cache is
    with ExitStack() as stack:
        sides = {name: stack.enter_context(_Side(code, shards, folder)) for name, code in SIDES.items()}
        for _ in range(ROUNDS):
            for side in sides.values():
                side.take_turn()
        results = {side.result() for side in sides.values()}
    assert len(results) == 1, results
    ((records, rows, _),) = results
    loop, one, two, disk = sides.values()
    what = f"{kind} shards, {rows / records:.1%} of {records:,} records"
    speeds = ", ".join(f"{name} {records / side.seconds / 1e3:,.0f} K" for name, side in sides.items())
    peak_mb = max(each.peak_mb for each in (one, two, disk))
    return [
        (f"{what} in {len(list(shards.rglob('*.tfrecord')))}: {speeds} records/s", "", ""),
        (f"{what}: one thread beside the loop", f"{loop.seconds / one.seconds:.1f} x", _at_least(on_one)),
        (f"{what}: two threads beside the loop", f"{loop.seconds / two.seconds:.1f} x", _at_least(on_two)),
        (f"{what}: to Parquet on disk beside the loop in memory", f"{loop.seconds / disk.seconds:.1f} x", "-"),
        (f"{what}: peak memory (loop {loop.peak_mb:,.0f} MB)", f"{peak_mb:.0f} MB", "< 350 MB"),
        (f"{what}: first shard of a new process", f"{min(one.start_s, two.start_s):.2f} s", "< 1 s"),
    ]


def _at_least(ratio: int | None) -> str:
    return f"at least {ratio} x" if ratio else "-"


def write_shards(folder: Path, share: float, shards: int = SHARDS, videos: int = VIDEOS) -> None:
    """Write shards of records as large as real ones, `share` of which have the label that is wanted."""
    rng = np.random.default_rng(0)
    for number in range(shards):
        payloads = []
        for video in range(videos):
            labels = [*rng.choice(OTHERS, 2, replace=False), *([WANTED] if rng.random() < share else [])]
            rgb, audio = (rng.standard_normal(size, dtype=np.float32) for size in (RGB_SIZE, AUDIO_SIZE))
            video_id = f"{number:02d}{ALPHABET[video // 62]}{ALPHABET[video % 62]}"
            payloads.append(encode_example(video_id.encode(), sorted(map(int, labels)), rgb, audio))
        write_shard(folder / f"train{hashlib.md5(str(number).encode()).hexdigest()[:2]}{number:02d}.tfrecord", payloads)
