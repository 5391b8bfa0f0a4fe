"""What a classifier says of the videos of a dataset version, kept for all figures.

Shapes: N videos, B videos of a block, L labels.
"""

# ruff: noqa: N806 - capitals at the end of a tensor's name are its axes, as in the legend above.

from collections.abc import Collection, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.classifier.data import sparse_targets
from tasks.classifier.evaluate import Evaluation, Scores, evaluation_of, match_average_precision, matches_of
from tasks.classifier.fitted import PREDICT_VIDEOS, FittedClassifier, block_rows
from tasks.classifier.metrics import TOP_K, BestPairs, best_pairs
from tasks.datasets.load import Videos
from tasks.datasets.moments import no_moments

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
        rows = min(rows, PREDICT_VIDEOS)
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
