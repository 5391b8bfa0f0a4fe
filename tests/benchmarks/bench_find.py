"""`reelsift find` over the results of 10,000 videos: seconds and memory of the installed command."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.files import write_text
from tasks.contracts.media import LABELS_NAME, LABELS_TABLE_NAME, OBJECTS_NAME, LabelSegment
from tasks.labelling.label import SCHEMA
from tests.support.reports import NAMES, write_labels, write_objects

VIDEOS = int(os.environ.get("FIND_VIDEOS", "10000"))
SECONDS, LABELS, TOP = 60, 1000, 5  # of each video, of all, and of each second
MOST_S, MOST_MB = 1.0, 500.0
RUNS = 5
RUN = """
import sys
from reelsift.__main__ import main
from tests.support.peak_memory import peak_mb
sys.argv = ["reelsift", *sys.argv[1:]]
try:
    main()
finally:
    sys.stdout.flush()
    print(peak_mb(), file=sys.stderr)
"""


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        write_results(home / "videos")
        yield "processor time of a command that does nothing", f"{processor_s('--version', home=home):.2f} s", "-"
        first_s, first_mb, found = find(home, "label 7")
        yield (
            f"the first find over {VIDEOS:,} videos, which makes the index",
            f"{first_s:.1f} s, {first_mb:.0f} MB",
            "-",
        )
        index_mb = sum(path.stat().st_size for path in (home / "found").rglob("*.duckdb")) / 1e6
        yield f"the index of {found['searched']:,} videos", f"{index_mb:.0f} MB", "-"
        for what, words in {
            "a label": ["label 7"],
            "a label that every video has, by score": ["espresso", "--min-score", "0.5"],
            "an object": ["bottle", "--kind", "object"],
        }.items():
            taken = [find(home, *words) for _ in range(RUNS)]
            best_s, worst_mb = min(each[0] for each in taken), max(each[1] for each in taken)
            said = f"{best_s:.2f} s, {worst_mb:.0f} MB, {taken[0][2]['total']:,} hits"
            yield f"find {what}, the best of {RUNS}", said, f"under {MOST_S:.0f} s, {MOST_MB:.0f} MB"
        busy_s = processor_s("find", "label 7", "--limit", "40", "--json", home=home)
        yield (
            "processor time of find a label, which counts on a busy machine",
            f"{busy_s:.2f} s",
            f"under {MOST_S:.0f} s",
        )
        again = home / "videos" / "video-00007-0123abcd" / LABELS_NAME
        write_text(again, again.read_text())  # in the place of the earlier one, as a result comes
        changed_s, changed_mb, _ = find(home, "label 7")
        yield "find after one video was labelled again", f"{changed_s:.2f} s, {changed_mb:.0f} MB", "-"


def find(home: Path, *words: str) -> tuple[float, float, dict[str, int]]:
    """Run the command, and return its seconds, its peak in MB and what it found, without the hits."""
    started = time.perf_counter()
    command = [sys.executable, "-c", RUN, "find", *words, "--limit", "40", "--json"]
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "REELSIFT_HOME": str(home)}
    )
    taken_s = time.perf_counter() - started
    return taken_s, float(run.stderr.splitlines()[-1]), json.loads(run.stdout)


def processor_s(*words: str, home: Path) -> float:
    """Return the least processor time that a command takes, all its threads together."""
    taken = []
    for _ in range(RUNS):
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "reelsift", *words],
            capture_output=True,
            check=True,
            env={**os.environ, "REELSIFT_HOME": str(home)},
        )
        after = os.times()
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(taken)


def write_results(videos: Path) -> None:
    """Write labels and objects of many videos, from one of each whose names and times differ."""
    random = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        segments = [LabelSegment(start_s=0, end_s=9, label_id=0, name="LABEL", score=0.9)]
        labels = write_labels(Path(folder), segments=segments, annotate=False).model_dump_json()
        objects = write_objects(Path(folder), annotate=False, thumbnails=False).model_dump_json()
    for number in range(VIDEOS):
        place = videos / f"video-{number:05d}-0123abcd"
        place.mkdir(parents=True)
        (place / LABELS_NAME).write_text(labels.replace("LABEL", f"label {number % LABELS}"))
        (place / OBJECTS_NAME).write_text(objects)
        (place / "index.html").touch()
        ids = random.integers(len(NAMES), LABELS, (SECONDS, TOP)).astype(np.int32)
        ids[:, 0] = 0
        scores = random.random(SECONDS * TOP, np.float32)
        columns = [
            np.repeat(np.arange(SECONDS, dtype=np.float64), TOP),
            ids.ravel(),
            pa.array([NAMES[0] if each == 0 else f"label {each}" for each in ids.ravel().tolist()]),
            scores,
            scores,
        ]
        pq.write_table(
            pa.table(list(map(pa.array, columns)), schema=SCHEMA), place / LABELS_TABLE_NAME, compression="zstd"
        )
