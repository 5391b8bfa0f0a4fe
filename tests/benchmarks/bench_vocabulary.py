"""The whole vocabulary: what its candidates reach on real shards, and a rehearsal of training on all of YouTube-8M.

The candidates learn every label of the real train shards, and are judged on all labels of the validate shards, those
that they do not know among them. None of their epochs is chosen by these. The best one learns 90 of the 100 shards as
well, three times, so that each validate shard is once among the ten that it is judged on.

The rehearsal measures memory and videos a second, of made-up videos with all labels. The same mirror is built, loaded
and learnt from at three sizes, each step in a process of its own, whose peak must grow by little more than the features
in half precision.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from conf.settings import load_settings
from tasks.classifier.config import TrainConfig
from tasks.classifier.scoring import evaluate
from tasks.classifier.train import fit
from tasks.contracts.datasets import VOCABULARY_SIZE
from tasks.contracts.features import YT8M
from tasks.datasets.load import Videos
from tasks.records.synthetic import ALPHABET, encode_example, write_mirror, write_shard
from tests.benchmarks.bench_model import read_videos, shards_of
from tests.conftest import REAL_DATA

SHARDS = tuple(map(int, os.environ.get("VOCABULARY_SHARDS", "39,130,390").split(",")))  # to learn from
SEEDS = tuple(map(int, os.environ.get("VOCABULARY_SEEDS", "0,1").split(",")))  # of the candidates
BEST, FOLDS, GAP = "chain", 3, 0.735  # all real shards but a third of those to judge on, which stands for others
JUDGED_SHARDS, VIDEOS = 4, 1000  # to judge on; videos of a shard, as in the train partition
STEPS = 30  # of a training, over random videos of all: an epoch of them takes no more memory
HALF_BYTES = 2 * YT8M.size  # of a video's features
MOST_BEYOND = 0.15  # of that: ids, labels and what Python makes of them
MOST_BUILDING_MB = 150.0  # that the largest build may take beyond the smallest

COMMON = """
import json, sys, time
from tests.support.peak_memory import peak_mb
home, shards, model, steps = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
"""
BUILD = """
import reelsift
started = time.perf_counter()
built = reelsift.build_dataset("all", limit=shards, home=home)
print(json.dumps({"id": built.reference, "seconds": time.perf_counter() - started, "peak_mb": peak_mb()}))
"""
TRAIN = """
from pathlib import Path
from conf.settings import load_settings
import torch
from tasks.classifier.data import chosen_device, examples, kept_labels
from tasks.classifier.models import build_model
from tasks.classifier.splits import training_splits
from tasks.classifier.train import Trainer, validated
from tasks.datasets.catalogue import open_dataset
from tasks.tracking.kept_training import MOST_JUDGED
config = load_settings().candidates((model,))[model]
dataset = open_dataset(Path(home) / "datasets", "all/latest")
started = time.perf_counter()
train, validate = training_splits(dataset, MOST_JUDGED)
loaded_s = time.perf_counter() - started
loaded_mb = peak_mb()
labels, device = kept_labels(train, min_positives=config.min_positives, always=()), chosen_device(config.device)
to_learn, to_judge = (examples(each, labels, device, matches_only=True) for each in (train, validate))
trainer = Trainer(build_model(config, len(labels)).to(device), to_learn, config, has_match=False)
trainer.model.learn_scaling(to_learn.features_NF)
batches = torch.randperm(len(train)).split(config.batch_size)[:steps]
started = time.perf_counter()
losses = [trainer.train_step(step, *to_learn.batch(rows)).item() for step, rows in enumerate(batches)]
trained_s = time.perf_counter() - started
assert losses[-1] < losses[0]
validated(trainer.averaged, to_judge)
print(json.dumps({
    "videos": len(train), "loaded": (len(train) + len(validate)) / loaded_s, "loaded_mb": loaded_mb,
    "trained": sum(map(len, batches)) / trained_s, "peak_mb": peak_mb(), "labels": len(labels),
}))
"""


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield what the candidates reach, and what building, loading and training take at each size."""
    yield from candidates()
    yield from rehearsal()


def candidates() -> Iterator[tuple[str, str, str]]:
    """Yield what each candidate for the whole vocabulary reaches on real shards, and how long it trains."""
    mirror = REAL_DATA / "yt8m-mirror"
    if not mirror.is_dir():
        yield "candidates", f"not measured: no real data at {REAL_DATA}", ""
        return
    train, validate = (shards_of(mirror, split) for split in ("train", "validate"))
    chosen = load_settings().candidates(whole_vocabulary=True)
    for name, config in chosen.items():
        for seed in SEEDS:
            yield f"{name}, seed {seed}, 70 shards", _reached(train, validate, config, seed)[1], ""
    found = list[float]()
    for fold in range(FOLDS):
        judged = validate[fold::FOLDS]
        learnt = [*train, *(shard for shard in validate if shard not in judged)]
        gap, measured = _reached(learnt, judged, chosen[BEST], fold)
        found.append(gap)
        yield f"{BEST}, seed {fold}, {len(learnt)} shards, judged on the other {len(judged)}", measured, ""
    yield f"{BEST}, mean of the {FOLDS}", f"GAP {mean(found):.4f}", f">= {GAP}"


def _reached(learnt: Sequence[Path], judged: Sequence[Path], config: TrainConfig, seed: int) -> tuple[float, str]:
    """Return the GAP over all labels of the judged shards, and the whole row."""
    train, others = _all_labels(learnt), _all_labels(judged)
    last = config.model_copy(update={"seed": seed, "patience": 0})  # keeps the last epoch, whatever is judged on
    trained = fit(train, others, label_names={}, target_label_ids=(), config=last, dataset_id="ds-benchmark")
    gap = evaluate(trained.classifier, others, np.unique(others.label_ids).tolist()).gap
    own, labels = trained.metrics["gap_at_20"], len(trained.classifier.label_ids)
    return gap, f"GAP {gap:.4f}; over its own {labels:,} labels {own:.4f}; {trained.seconds:.0f} s"


def _all_labels(shards: Sequence[Path]) -> Videos:
    """Return all videos of some shards, all of them to learn from, in half precision as in a version of all."""
    videos = read_videos(shards)
    return replace(videos, features=videos.features.astype(np.float16), is_match=np.ones(len(videos), np.bool_))


def rehearsal() -> Iterator[tuple[str, str, str]]:
    """Yield what building, loading and training take at each size."""
    with tempfile.TemporaryDirectory() as folder:
        mirror, home = Path(os.environ.get("VOCABULARY_MIRROR", Path(folder) / "mirror")), Path(folder) / "home"
        if not mirror.exists():
            _write(mirror, max(SHARDS))
        found = []
        for shards in SHARDS:
            built = _measured(BUILD, home, mirror, shards)
            trained = _measured(TRAIN, home, mirror, shards)
            found.append((built, trained))
            what = f"{trained['videos']:,} videos, {trained['labels']:,} labels"
            yield f"building {what}", f"{built['seconds']:.0f} s, peak {built['peak_mb']:,.0f} MB", ""
            yield f"loading {what}", f"{trained['loaded']:,.0f} videos/s, peak {trained['loaded_mb']:,.0f} MB", ""
            yield f"training on {what}", f"{trained['trained']:,.0f} videos/s, peak {trained['peak_mb']:,.0f} MB", ""
        yield from _growth(*zip(*found, strict=True))


def _growth(built: Sequence[dict[str, Any]], trained: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    building_mb = built[-1]["peak_mb"] - built[0]["peak_mb"]
    yield "the largest build beside the smallest", f"{building_mb:+,.0f} MB", f"<= {MOST_BUILDING_MB:.0f} MB"
    most = f"<= {HALF_BYTES * (1 + MOST_BEYOND):,.0f} B"
    for name, what in (("loaded_mb", "loading"), ("peak_mb", "training")):
        grown = (trained[-1][name] - trained[0][name]) * 2**20 / (trained[-1]["videos"] - trained[0]["videos"])
        yield f"{what}, each further video", f"{grown:,.0f} B (float16: {HALF_BYTES:,} B)", most


def _measured(work: str, home: Path, mirror: Path, shards: int) -> dict[str, Any]:
    options = str(home), str(shards), os.environ.get("VOCABULARY_MODEL", "logistic"), str(STEPS)
    command = [sys.executable, "-c", COMMON + work, *options]
    environment = os.environ | {"REELSIFT_MIRROR": str(mirror)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _write(folder: Path, shards: int) -> None:
    """Write a mirror of random videos, whose labels are as uneven as the real ones."""
    write_mirror(folder, train_shards=1, validate_shards=1, videos_per_shard=1)  # for the vocabulary
    rng = np.random.default_rng(0)
    ends = label_ends(VOCABULARY_SIZE)
    suffixes = ["".join(pair) for pair in product(ALPHABET, repeat=2)]
    for split, first, count in (("train", 0, shards), ("validate", shards, JUDGED_SHARDS)):
        plan = {}
        for suffix in suffixes[first : first + count]:
            path = folder / "2" / "video" / split / f"{split}{suffix}.tfrecord"
            write_shard(path, _videos(rng, ends, suffix))
            plan[path.name] = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        (folder / "2" / "download_plans" / f"video_{split}.json").write_text(json.dumps({"files": plan}))


def label_ends(labels: int) -> np.ndarray:
    """Return where on [0, 1) each label ends: a random number falls into labels as unevenly as the real ones are."""
    chances = 1 / np.arange(1, labels + 1) ** 0.8
    return np.cumsum(chances / chances.sum())


def _videos(rng: np.random.Generator, ends: np.ndarray, suffix: str) -> Iterator[bytes]:
    features = rng.standard_normal((VIDEOS, YT8M.size), dtype=np.float32).clip(-2, 2)
    labels = np.searchsorted(ends, rng.random((VIDEOS, 6)))
    counts = rng.integers(1, 7, VIDEOS)
    for number, row in enumerate(features):
        video_id = ALPHABET[number // 62] + ALPHABET[number % 62] + suffix
        own = sorted(set(labels[number, : counts[number]].tolist()))
        yield encode_example(video_id.encode(), own, row[:1024], row[1024:])
