"""The default model against the starter code's mixture of experts, on real Cooking videos.

Both are trained on the train shards with three seeds, and judged on the matching videos of the validate shards: the
starter's recipe on the matches alone, the default with all the background.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from statistics import mean

import numpy as np
import pyarrow as pa

from tasks.classifier.config import PRESETS, TrainConfig
from tasks.classifier.train import TrainingResult, fit
from tasks.contracts.datasets import FilterConfig, Shard
from tasks.datasets.load import Videos, flags, float_rows, label_lists
from tasks.records.filter import filter_shard
from tests.conftest import REAL_DATA

COOKING = 22
COLUMNS = ["video_id", "labels", "mean_rgb", "mean_audio", "is_match"]
SEEDS = (0, 1, 2)
GAP_GAIN, MAP_GAIN, TRAINING_S = 0.03, 0.08, 60


def rows() -> list[tuple[str, str, str]]:
    """Return what was measured: (what, measured, required)."""
    mirror = REAL_DATA / "yt8m-mirror"
    if not mirror.is_dir():
        return [("model", f"not measured: no real data at {REAL_DATA}", "")]
    train, validate = (read_videos(shards_of(mirror, split)) for split in ("train", "validate"))
    starter = [trained(train, validate, PRESETS["moe"], seed) for seed in SEEDS]
    default = [trained(train, validate, PRESETS["gated"], seed) for seed in SEEDS]
    slowest_s = max(result.seconds for result in default)
    return [
        ("videos", f"{train.is_match.sum()} + {validate.is_match.sum()} matches of {len(train) + len(validate)}", ""),
        ("starter MoE-2, GAP / MAP", f"{mean_of(starter, 'gap_at_20'):.4f} / {mean_of(starter, 'map'):.4f}", ""),
        ("gated, GAP / MAP", f"{mean_of(default, 'gap_at_20'):.4f} / {mean_of(default, 'map'):.4f}", ""),
        ("gain in GAP", f"{gain(starter, default, 'gap_at_20'):+.4f}", f">= {GAP_GAIN:+.2f}"),
        ("gain in MAP", f"{gain(starter, default, 'map'):+.4f}", f">= {MAP_GAIN:+.2f}"),
        ("gated, AP of the match", f"{mean_of(default, 'match_ap'):.4f}", ""),
        ("training with all background, slowest", f"{slowest_s:.0f} s", f"< {TRAINING_S} s"),
    ]


def trained(train: Videos, validate: Videos, config: TrainConfig, seed: int) -> TrainingResult:
    """Train with another seed."""
    return fit(
        train,
        validate,
        label_names={COOKING: "Cooking"},
        target_label_ids=(COOKING,),
        config=config.model_copy(update={"seed": seed}),
        dataset_id="ds-benchmark",
    )


def mean_of(results: list[TrainingResult], metric: str) -> float:
    """Return the metric's mean over seeds."""
    return mean(result.metrics[metric] for result in results)


def gain(before: list[TrainingResult], after: list[TrainingResult], metric: str) -> float:
    """Return how much the metric's mean over seeds is higher."""
    return mean_of(after, metric) - mean_of(before, metric)


def shards_of(mirror: Path, split: str) -> list[Path]:
    """Return the shards of a split, in the order of their names."""
    return sorted((mirror / "2" / "video" / split).glob("*.tfrecord"))


def read_videos(shards: Iterable[Path]) -> Videos:
    """Return all videos of some shards; those with the Cooking label match."""
    config = FilterConfig.model_validate({"label_ids": [COOKING], "background": "all"})
    tables = [filter_shard(shard_of(path), config).table for path in shards]
    (batch,) = pa.concat_tables(tables).combine_chunks().select(COLUMNS).to_batches()
    offsets, labels = label_lists(batch)
    return Videos(
        video_ids=batch.column("video_id").to_numpy(zero_copy_only=False),
        features=np.hstack([float_rows(batch, "mean_rgb"), float_rows(batch, "mean_audio")]),
        label_offsets=offsets,
        label_ids=labels,
        is_match=flags(batch),
    )


def shard_of(path: Path) -> Shard:
    """Describe a shard as the download stage would."""
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return Shard(name=path.name, partition="video", md5=md5, size_bytes=path.stat().st_size, path=path)


if __name__ == "__main__":
    for what, measured, required in rows():
        print(f"{what:40s} {measured:>24s} {required}")
