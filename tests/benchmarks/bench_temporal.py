"""Every model over time beside the mean of the frames, on 100 real clips of five classes, by the picture alone.

Each is trained with three seeds and judged on clips of other groups. The sound is left out: two of the classes have
none, which would give them away. An interval is the widest of the seeds' 95 % intervals of the gain over the mean, by a
paired bootstrap of the clips.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np

import reelsift
from tasks.classifier.config import PRESETS, ModelKind
from tasks.classifier.evaluate import Scores
from tasks.classifier.gate import Gain, gap_gain
from tasks.classifier.scoring import score_matches
from tasks.classifier.splits import training_splits
from tasks.classifier.train import TrainingResult, fit
from tasks.datasets.load import Videos
from tasks.datasets.moments import MomentBatch, Moments
from tests.conftest import REAL_DATA

SEEDS = (0, 1, 2)
OTHERS = (ModelKind.LOGISTIC, ModelKind.GATED)  # of whole videos, by the mean of their frames
OVER_TIME = tuple(kind for kind in ModelKind if kind.is_over_time)


def rows() -> list[tuple[str, str, str]]:
    """Return what was measured: (what, measured, required)."""
    clips = REAL_DATA / "clips" / "clips.csv"
    if not clips.is_file():
        return [("temporal", f"not measured: no clips at {clips}", "")]
    with TemporaryDirectory() as home:
        version = reelsift.import_dataset(clips, home=Path(home))
        videos = tuple(map(without_sound, training_splits(version.dataset)))
        names = {label.index: label.name for label in version.manifest.label_counts}
        results = {kind: [trained(videos, kind, seed, names) for seed in SEEDS] for kind in (*OTHERS, *OVER_TIME)}
        scores = {
            kind: [score_matches(each.classifier, videos[1]) for each in found] for kind, found in results.items()
        }
    gaps = {kind: mean(each.metrics["gap_at_20"] for each in found) for kind, found in results.items()}
    best = max((kind for kind in OVER_TIME if kind != ModelKind.MEAN), key=lambda kind: gaps[kind])
    found = [("clips", f"{len(videos[0])} + {len(videos[1])}, three seeds", "")]
    found += [(str(kind), described(results[kind], gains(scores, kind, videos[1])), "") for kind in results]
    return [*found, ("best over the mean", f"{best} {gaps[best] - gaps[ModelKind.MEAN]:+.4f} GAP", ">= 0")]


def trained(videos: tuple[Videos, ...], kind: ModelKind, seed: int, names: Mapping[int, str]) -> TrainingResult:
    """Train a preset with another seed."""
    train, validate = videos
    config = PRESETS[kind].model_copy(update={"seed": seed})
    return fit(train, validate, label_names=names, target_label_ids=(), config=config, dataset_id="ds-benchmark")


def without_sound(videos: Videos) -> Videos:
    """Return videos whose sound is zeros."""
    assert videos.moments is not None
    batch = videos.moments.take(np.arange(len(videos)))
    values, features = batch.values.copy(), videos.features.copy()
    values[:, videos.space.slices["sound"]] = 0
    features[:, videos.space.slices["sound"]] = 0
    return replace(videos, features=features, moments=Moments.of(MomentBatch(values, batch.offsets)))


def gains(scores: Mapping[ModelKind, list[Scores]], kind: ModelKind, judged: Videos) -> list[Gain]:
    """Return each seed's gain over the mean of the frames."""
    pairs = zip(scores[ModelKind.MEAN], scores[kind], strict=True)
    truth = judged.labels_among(scores[kind][0].label_ids)
    return [
        gap_gain(before.pairs, after.pairs, truth.per_video, confidence=0.95, resamples=1000, seed=0)
        for before, after in pairs
    ]


def described(results: list[TrainingResult], over_mean: list[Gain]) -> str:
    """Say how good a model is, and what it costs."""
    low, high = min(each.low for each in over_mean), max(each.high for each in over_mean)
    figures = [mean(each.metrics[name] for each in results) for name in ("gap_at_20", "map", "hit_at_1")]
    costs = [each.cost for each in results if each.cost]
    return (
        "GAP {:.4f} MAP {:.4f} top-1 {:.3f}".format(*figures)
        + f", over mean {mean(each.gain for each in over_mean):+.4f} [{low:+.3f}, {high:+.3f}]; "
        + f"{costs[0].parameters / 1e6:.2f} M weights, {mean(each.videos_per_s for each in costs):,.0f} videos/s, "
        + f"{mean(each.seconds for each in results):.1f} s"
    )


if __name__ == "__main__":
    for what, measured, required in rows():
        print(f"{what:20s} {measured} {required}")
