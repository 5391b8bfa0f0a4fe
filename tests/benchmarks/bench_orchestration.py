"""What Prefect adds: a plan of 3,844 tiny shards as a flow and as a plain loop, and a rebuild with nothing to do.

Both sides download the same files from a mirror in another process and filter them into the same parts.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from tasks.contracts.features import AUDIO_SIZE, RGB_SIZE
from tasks.records.synthetic import ALPHABET, encode_example, write_mirror, write_shard
from tests.support.mirror_server import MirrorProcess

SHARDS = 3844
FLOW = """
import json, sys, time
from flows.prepare_dataset import prepare_dataset
from conf.forms import PrepareDatasetForm
from prefect import flow
form = PrepareDatasetForm(labels=("22",), mirror=sys.argv[1], partitions=("video/train",), background=0)
@flow
def warm_up(): ...
warm_up()  # the server's start is not what is measured
for _ in range(2):
    started = time.perf_counter()
    version = prepare_dataset(form)
    print(json.dumps({"seconds": time.perf_counter() - started, **version}), flush=True)
"""
LOOP = """
import json, sys, time
from pathlib import Path
from conf.settings import load_settings
from tasks.datasets.request import plan_request
from tasks.records.parts import write_part
from tasks.shards.download import download_shards
from tasks.shards.plan import shard_path
settings = load_settings()
home, download = settings.paths, settings.download_from(sys.argv[1])
started = time.perf_counter()
request = plan_request(("22",), partitions=("video/train",), filter_options={"background": 0},
                       vocabulary_folder=home.vocabulary, download=download)
for batch in request.batches:
    assert not download_shards(batch, home.shards, download).failed
    write_part(home.parts, batch, request.filter, lambda shard: shard_path(home.shards, shard, download))
print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)
"""


def rows() -> list[tuple[str, str, str]]:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        mirror = Path(folder) / "mirror"
        write_tiny_mirror(mirror)
        with MirrorProcess(mirror) as server:
            (loop,) = _run(LOOP, server.url, Path(folder) / "loop")
            first, again = _run(FLOW, server.url, Path(folder) / "flow")
    extra_s = first["seconds"] - loop["seconds"]
    what = f"{SHARDS:,} tiny shards: flow {first['seconds']:.1f} s, plain loop {loop['seconds']:.1f} s"
    return [
        (what, f"{extra_s:+.1f} s", "< 60 s more"),
        (f"{SHARDS:,} shards again: every task cached", f"{again['seconds']:.1f} s", "-"),
    ]


def write_tiny_mirror(folder: Path) -> None:
    """Write as many shards as the train partition has, with one real-sized record each."""
    write_mirror(folder, train_shards=1, validate_shards=1, videos_per_shard=1)
    rng = np.random.default_rng(0)
    rgb, audio = (rng.standard_normal(size, dtype=np.float32) for size in (RGB_SIZE, AUDIO_SIZE))
    plan = {}
    for suffix in ("".join(pair) for pair in product(ALPHABET, repeat=2)):
        path = folder / "2" / "video" / "train" / f"train{suffix}.tfrecord"
        write_shard(path, [encode_example(f"aa{suffix}".encode(), [22, 37], rgb, audio)])
        plan[path.name] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    (folder / "2" / "download_plans" / "video_train.json").write_text(json.dumps({"files": plan}), encoding="utf-8")


def _run(code: str, url: str, home: Path) -> list[dict[str, float]]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REELSIFT_", "PREFECT_"))}
    prepare = "from conf.environment import running_settings; running_settings()\n"
    run = subprocess.run(
        [sys.executable, "-c", prepare + code, url],
        env=clean | {"REELSIFT_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
