"""What a classifier says of the videos of a dataset version, kept for all figures, and of their segments.

Shapes: N videos, S segments, R ratings of these, B of a block, L labels, K best segments of a label, W kept ones.
"""

# ruff: noqa: N803, N806, N815 - capitals at the end of a tensor's name are its axes, as in the legend above.

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.classifier.data import sparse_targets
from tasks.classifier.evaluate import Evaluation, Scores, evaluation_of, match_average_precision, matches_of
from tasks.classifier.fitted import FittedClassifier, block_rows
from tasks.classifier.metrics import NO_PREDICTION, SEGMENT_TOP_K, TOP_K, BestPairs, best_pairs, segment_ap
from tasks.classifier.sequence import VIDEOS_AT_ONCE
from tasks.contracts.files import appearing
from tasks.datasets.frames import Ratings
from tasks.datasets.load import Videos
from tasks.datasets.moments import MomentBatch, Moments, no_moments

JUDGED_ROWS = 4096  # videos a batch of the metrics, fewer where there are many labels: bounds the memory


def evaluate(classifier: FittedClassifier, videos: Videos, label_ids: Collection[int] = ()) -> Evaluation:
    """Judge the classifier on all matching videos, over the labels that it knows and `label_ids`.

    Raises:
        ModelError: there is no matching video.
    """
    return evaluation_of(score_matches(classifier, videos), videos, label_ids)


def score_matches(classifier: FittedClassifier, videos: Videos) -> Scores:
    """Return the classifier's scores of the matching videos, and how well it tells them from the others.

    Raises:
        ModelError: there is no matching video.
        FeatureSpaceError: the videos' features are of another space than the classifier's.
        DatasetError: it looks at the moments of videos, and these are not kept.
    """
    classifier.space.check_same(videos.space, who=f"The model of {classifier.dataset_id}", what="the dataset")
    matching = matches_of(videos)
    pairs = pairs_of_blocks(predictions(classifier, matching), matching, classifier.label_ids)
    return Scores(classifier.label_ids, classifier.label_names, pairs, _match_ap(classifier, videos))


def predictions(classifier: FittedClassifier, videos: Videos) -> Iterator[NDArray[np.float32]]:
    """Yield the labels' probabilities (B, L) of all videos, in their order."""
    return (outputs_BO[:, : len(classifier.label_ids)] for outputs_BO in _outputs(classifier, videos))


def _outputs(classifier: FittedClassifier, videos: Videos) -> Iterator[NDArray[np.float32]]:
    """Yield all outputs (B, O) for all videos, in their order."""
    rows = block_rows(len(classifier.label_ids), JUDGED_ROWS)
    if not classifier.is_over_time:
        firsts = range(0, len(videos), rows)
        yield from (classifier.outputs(videos.features[first : first + rows]) for first in firsts)
    elif videos.moments is None:
        raise no_moments(classifier.config.model, "this version")
    else:
        rows = min(rows, VIDEOS_AT_ONCE)
        places = (np.arange(first, min(first + rows, len(videos))) for first in range(0, len(videos), rows))
        for batch in videos.moments.batches(places):
            yield classifier.outputs_of_moments(batch.values, batch.offsets)


def pairs_of_blocks(blocks: Iterable[NDArray[np.float32]], matching: Videos, label_ids: tuple[int, ...]) -> BestPairs:
    """Return the best pairs of the scores (B, L) of all matching videos, which come in blocks, in their order."""
    truth = sparse_targets(matching, label_ids)
    depth = max(TOP_K, int(np.diff(matching.label_offsets).max(initial=0)))
    parts, begin = list[BestPairs](), 0
    for scores_BL in blocks:
        rows_B = torch.arange(begin, begin + len(scores_BL))
        parts.append(best_pairs(torch.from_numpy(scores_BL), truth.dense(rows_B), depth))
        begin += len(scores_BL)
    return BestPairs.joined(parts)


def _match_ap(classifier: FittedClassifier, videos: Videos) -> float | None:
    if classifier.match_index is None:
        return None
    outputs_NO = np.concatenate(
        [outputs_BO[:, classifier.match_index :] for outputs_BO in _outputs(classifier, videos)]
    )
    return match_average_precision(outputs_NO[:, 0], videos.is_match)


SEGMENT_S = 5  # seconds of a segment of the challenge of 2019


@dataclass(frozen=True)
class Segments:
    """Parts of videos, in the order of the videos: from a second on to another, which is not theirs any more."""

    video_S: NDArray[np.int64]  # places of the videos
    start_S: NDArray[np.int64]
    end_S: NDArray[np.int64]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.video_S)

    @classmethod
    def every(cls, counts_N: NDArray[np.int64]) -> Self:
        """Return all segments of videos of so many seconds, one after the other; the last one may be shorter."""
        each_N = -(-counts_N // SEGMENT_S)
        video_S = np.repeat(np.arange(len(counts_N)), each_N)
        start_S = (np.arange(len(video_S)) - np.repeat(each_N.cumsum() - each_N, each_N)) * SEGMENT_S
        return cls(video_S, start_S, np.minimum(start_S + SEGMENT_S, counts_N[video_S]))

    @classmethod
    def rated(cls, ratings: Ratings) -> tuple[Self, NDArray[np.int64]]:
        """Return the segments that people have rated, each once, and which one each rating is of."""
        video_R = np.repeat(np.arange(len(ratings.offsets) - 1), np.diff(ratings.offsets))
        keys_R3 = np.stack([video_R, ratings.start_s, ratings.end_s], axis=1).astype(np.int64)
        keys_S3, segment_R = np.unique(keys_R3, axis=0, return_inverse=True)
        return cls(*keys_S3.T), segment_R.reshape(-1)


def segment_predictions(
    classifier: FittedClassifier, moments: Moments, segments: Segments
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield which segments, and the labels' probabilities (B, L) of these, in their order.

    A model over time looks at a segment as at a video, any other one at the mean of its frames. Of a segment that
    begins after its video's end nothing is said: `NO_PREDICTION`.
    """
    for first in range(0, len(moments), VIDEOS_AT_ONCE):
        batch = moments.take(np.arange(first, min(first + VIDEOS_AT_ONCE, len(moments))))
        here = slice(*np.searchsorted(segments.video_S, [first, first + VIDEOS_AT_ONCE]).tolist())
        video_B = segments.video_S[here] - first
        begin_B, end_B = batch.offsets[video_B], batch.offsets[video_B + 1]
        from_B = np.minimum(begin_B + segments.start_S[here], end_B)
        to_B = np.minimum(begin_B + segments.end_S[here], end_B)
        is_there_B = to_B > from_B
        scores_BL = np.full((len(video_B), len(classifier.label_ids)), NO_PREDICTION, np.float32)
        if is_there_B.any():
            parts = [batch.values[start:stop] for start, stop in zip(from_B[is_there_B], to_B[is_there_B], strict=True)]
            scores_BL[is_there_B] = _of_parts(classifier, MomentBatch.joined(parts))
        if len(video_B):
            yield here, scores_BL


def _of_parts(classifier: FittedClassifier, parts: MomentBatch) -> NDArray[np.float32]:
    if classifier.is_over_time:
        return classifier.outputs_of_moments(parts.values, parts.offsets)[:, : len(classifier.label_ids)]
    return classifier.predict(parts.means())


def segment_map(classifier: FittedClassifier, moments: Moments, ratings: Ratings) -> float | None:
    """Return MAP@K of the challenge of 2019, over the labels that have a confirmed segment; None where none has.

    No label has as many rated segments as the K, 100,000, that count. A label unknown to the model counts 0.
    """
    segments, segment_R = Segments.rated(ratings)
    by_segment_R = np.argsort(segment_R, kind="stable")
    scores_R = np.full(len(segment_R), NO_PREDICTION, np.float32)
    column_of = {label: column for column, label in enumerate(classifier.label_ids)}
    column_R = np.array([column_of.get(label, -1) for label in ratings.label.tolist()], np.int64)
    for here, scores_BL in segment_predictions(classifier, moments, segments):
        rated = by_segment_R[slice(*np.searchsorted(segment_R[by_segment_R], [here.start, here.stop]).tolist())]
        known = rated[column_R[rated] >= 0]
        scores_R[known] = scores_BL[segment_R[known] - here.start, column_R[known]]
    found = list[float]()
    for label in np.unique(ratings.label[ratings.is_confirmed]).tolist():
        rows = ratings.label == label
        confirmed_S1 = ratings.is_confirmed[rows][:, None]
        found.append(float(segment_ap(scores_R[rows][:, None], np.ones_like(confirmed_S1), confirmed_S1)[0]))
    return float(np.mean(found)) if found else None


def best_segments(
    classifier: FittedClassifier, moments: Moments, segments: Segments, columns: Sequence[int], k: int = SEGMENT_TOP_K
) -> Iterator[NDArray[np.int64]]:
    """Yield for each of some columns of labels the k best segments (at most k,), best first; equals in their order."""
    chosen = list(columns)
    scores_LW = np.zeros((len(chosen), 0), np.float32)
    index_LW = np.zeros((len(chosen), 0), np.int64)
    for here, scores_BL in segment_predictions(classifier, moments, segments):
        index_LB = np.broadcast_to(np.arange(here.start, here.stop), (len(chosen), len(scores_BL)))
        scores_LW = np.concatenate([scores_LW, scores_BL[:, chosen].T], axis=1)
        index_LW = np.concatenate([index_LW, index_LB], axis=1)
        if scores_LW.shape[1] >= 2 * k:
            best_LK = np.argsort(-scores_LW, axis=1, kind="stable")[:, :k]
            best_LK.sort(axis=1)
            scores_LW, index_LW = (np.take_along_axis(each, best_LK, axis=1) for each in (scores_LW, index_LW))
    for scores_W, index_W in zip(scores_LW, index_LW, strict=True):
        best_K = np.argsort(-scores_W, kind="stable")[:k]
        yield index_W[best_K[scores_W[best_K] > NO_PREDICTION]]


def write_submission(
    path: Path, labels: Mapping[int, NDArray[np.int64]], video_ids: NDArray[np.object_], segments: Segments
) -> None:
    """Write the challenge's file: `Class,Segments`, a line for each label's index, `VIDEO:START` best first.

    As `inference.py --segment_labels` of the starter code (github.com/google/youtube-8m) writes it.
    """
    with appearing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write("Class,Segments\n")
        for label, best in labels.items():
            named = (f"{video_ids[segments.video_S[n]]}:{segments.start_S[n]}" for n in best.tolist())
            file.write(f"{label},{' '.join(named)}\n")
