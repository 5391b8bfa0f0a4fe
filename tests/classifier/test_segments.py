"""Segments: MAP@K beside the challenge's own evaluation of the submission file, written out slowly."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.classifier.config import ModelKind, TrainConfig
from tasks.classifier.fitted import FittedClassifier
from tasks.classifier.metrics import NO_PREDICTION
from tasks.classifier.models import build_model
from tasks.classifier.scoring import Segments, best_segments, segment_map, segment_predictions, write_submission
from tasks.classifier.splits import all_videos
from tasks.datasets.frames import load_ratings
from tasks.datasets.manifest import Dataset
from tasks.records.synthetic import encode_sequence
from tests.records.framing import frames
from tests.records.shards import shard_with
from tests.support.built import build

PARTITIONS = ("frame/train", "frame/validate")
KNOWN, UNKNOWN = (3, 22, 37), 99  # labels of the model, and one that people have rated and it does not know
Rated = dict[tuple[str, int], float]  # `VIDEO:START` and label -> whether it shows it


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Rated]:
    """A version of 30 videos of 7 to 40 s, of which people have rated segments, some of them after the end."""
    folder, rng, rated = tmp_path_factory.mktemp("segments"), np.random.default_rng(0), Rated()
    for partition, count in (("train", 20), ("validate", 10)):
        payloads = []
        for number in range(count):
            video_id, length = f"{partition[0]}{number:03d}", int(rng.integers(7, 41))
            ratings = []
            for label in (*KNOWN, UNKNOWN):
                for start in rng.choice(np.arange(0, 50, 5), 3, replace=False).tolist():
                    score = float(rng.random() < 0.4)
                    ratings.append((start, start + 5, label, score))
                    rated[f"{video_id}:{start}", label] = score
            rgb, audio = (rng.integers(0, 256, (length, size), np.uint8) for size in (1024, 128))
            payloads.append(encode_sequence(video_id.encode(), [22], rgb, audio, ratings))
        shard_with(folder / "mirror" / f"{partition}aa.tfrecord", frames(payloads))
    return build(folder / "mirror", folder / "home", "22", partitions=PARTITIONS, level="frame"), rated


def classifier_of(kind: ModelKind) -> FittedClassifier:
    torch.manual_seed(1)
    config = TrainConfig(model=kind, hidden_size=8)
    return FittedClassifier(build_model(config, 3).eval(), KNOWN, tuple(map(str, KNOWN)), config, "ds-0123456789ab")


def slow_map(submission: str, rated: Rated) -> float:
    """As `segment_eval_inference.py` reads a submission and judges it; a label that it lacks counts 0."""
    lines = dict(line.split(",") for line in submission.splitlines()[1:])
    found = []
    for label in sorted({label for (_, label), score in rated.items() if score > 0}):
        judged = [rated[name, label] for name in lines.get(str(label), "").split() if (name, label) in rated]
        hits, total = 0, 0.0
        for rank, score in enumerate(judged, 1):
            if score > 0:
                hits += 1
                total += hits / rank
        found.append(total / sum(score > 0 for (_, each), score in rated.items() if each == label))
    return float(np.mean(found))


@pytest.mark.parametrize("kind", [ModelKind.LOGISTIC, ModelKind.MEAN, ModelKind.GRU])
def test_map_is_that_of_the_challenges_evaluation(made: tuple[Dataset, Rated], kind: ModelKind, tmp_path: Path) -> None:
    dataset, rated = made
    videos, classifier, path = all_videos(dataset), classifier_of(kind), tmp_path / "submission.csv"
    assert videos.moments is not None
    counts = videos.moments.counts()
    segments = Segments.every(counts)
    found = dict(zip(KNOWN, best_segments(classifier, videos.moments, segments, range(3)), strict=True))
    write_submission(path, found, videos.video_ids, segments)
    text = path.read_text()
    assert text.splitlines()[0] == "Class,Segments"
    every = {
        f"{name}:{start}" for name, count in zip(videos.video_ids, counts, strict=True) for start in range(0, count, 5)
    }
    for line, label in zip(text.splitlines()[1:], KNOWN, strict=True):
        index, _, named = line.partition(",")
        assert (int(index), set(named.split()), len(named.split())) == (label, every, len(every))
    ratings = load_ratings(dataset).take(videos.moments.rows)
    assert segment_map(classifier, videos.moments, ratings) == pytest.approx(slow_map(text, rated), abs=1e-12)
    few = list(best_segments(classifier, videos.moments, segments, [2, 0], k=7))
    assert [each.tolist() for each in few] == [found[37][:7].tolist(), found[3][:7].tolist()]


def test_a_segment_is_judged_as_a_video_of_its_own(made: tuple[Dataset, Rated]) -> None:
    videos = all_videos(made[0])
    assert videos.moments is not None
    first = videos.moments.take(np.array([0])).values
    values = first.astype(np.float64) * 4 / 255 + 4 / 512 - 2
    end = len(values)
    segments = Segments(np.zeros(3, np.int64), np.array([5, end - 2, end]), np.array([10, end + 3, end + 5]))
    for kind in (ModelKind.LSTM, ModelKind.MOE):
        classifier = classifier_of(kind)
        ((_, scores),) = segment_predictions(classifier, videos.moments, segments)
        for row, part in enumerate((values[5:10], values[-2:])):
            one = part[None] if classifier.is_over_time else part.mean(axis=0, keepdims=True)
            assert scores[row] == pytest.approx(classifier.predict(one)[0], abs=1e-5)
        assert (scores[2] == NO_PREDICTION).all()  # nothing is there
