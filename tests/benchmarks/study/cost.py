"""What each model over time costs on one thread, in seconds of processor, so that what else runs counts for little."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import process_time

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.classifier.config import PRESETS, ModelKind
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.train import TrainingResult, fit
from tasks.contracts.features import YT8M
from tasks.datasets.load import Videos
from tasks.datasets.moments import MomentBatch, Moments
from tests.benchmarks.study.clips import OVER_TIME, Fold

VIDEOS, FRAMES, EPOCHS = 128, 75, 2
WINDOW, TIMED = 5, 200  # moments that are looked at, live, and how often that is timed


@dataclass(frozen=True)
class Cost:
    """A model's cost on frames of YouTube-8M, on the clips, and live."""

    kind: ModelKind
    parameters: int
    videos_per_s: float  # of 75 frames, learnt from
    peak_mb: float  # of the process while it learns
    clips_s: float  # a training on the clips of a fold
    moment_ms: float  # to judge a moment by the five up to it


def costs(fold: Fold) -> Iterator[Cost]:
    """Train each model for a moment on made-up frames, then on clips, and ask it for moments of a clip."""
    threads, videos = torch.get_num_threads(), made_up_videos()
    torch.set_num_threads(1)  # several wait for each other in a loop, which counts as work
    assert fold.judged.moments is not None
    clip = fold.judged.moments.take(np.arange(len(fold.judged))).values[:WINDOW].astype(np.float32)
    for kind in OVER_TIME:
        config = PRESETS[kind].model_copy(update={"epochs": EPOCHS})
        learnt, took_s = timed(
            lambda config=config: fit(
                videos, videos, label_names={}, target_label_ids=(0, 1), config=config, dataset_id="ds-benchmark"
            )
        )
        of_clips, clips_s = timed(lambda kind=kind: fold.trained(kind, 0))
        assert learnt.cost is not None
        yield Cost(
            kind=kind,
            parameters=learnt.cost.parameters,
            videos_per_s=EPOCHS * VIDEOS / took_s,
            peak_mb=learnt.cost.peak_mb,
            clips_s=clips_s,
            moment_ms=milliseconds(of_clips.classifier, clip),
        )
    torch.set_num_threads(threads)


def timed(work: Callable[[], TrainingResult]) -> tuple[TrainingResult, float]:
    """Return the training, and the seconds of processor that it took."""
    started = process_time()
    return work(), process_time() - started


def made_up_videos() -> Videos:
    """Return videos of random frames as YouTube-8M has them."""
    codes = np.random.default_rng(0).integers(0, 256, (VIDEOS * FRAMES, YT8M.size), np.uint8)
    return Videos(
        video_ids=np.array([str(number) for number in range(VIDEOS)], np.object_),
        features=np.zeros((VIDEOS, YT8M.size), np.float32),
        label_offsets=np.arange(VIDEOS + 1),
        label_ids=np.arange(VIDEOS, dtype=np.int32) % 2,
        is_match=np.ones(VIDEOS, np.bool_),
        moments=Moments.of(MomentBatch(codes, np.arange(VIDEOS + 1) * FRAMES)),
    )


def milliseconds(classifier: FittedClassifier, values: NDArray[np.float32]) -> float:
    """Return the median time that a model takes to judge one moment from those (T, F) up to it, as of a stream."""
    took_s = list[float]()
    for _ in range(TIMED):
        started = process_time()
        classifier.outputs_of_moments(values, np.array([0, len(values)]))
        took_s.append(process_time() - started)
    return float(np.median(took_s)) * 1000
