"""From smoothed scores to the stretches of time during which labels hold.

In: scores (T, L), their times, thresholds. Out: segments. Does not know how scores came to be.

A label begins to hold at the first moment whose score is at least `enter`, and holds until the first one whose score
is below `leave`. A moment lasts until the next one begins, the last one until `end_s`.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.labels import LabelSegment
from tasks.contracts.media import MediaFacts
from tasks.labelling.config import LabelOptions

ROUNDING_S = 1e-6  # times are sums of fractions: a segment of one second may be a rounding shorter


def find_segments(
    times_s: NDArray[np.float64],
    scores: NDArray[np.float32],
    labels: Sequence[tuple[int, str]],
    options: LabelOptions,
    end_s: float,
) -> tuple[LabelSegment, ...]:
    """Return the segments of all labels, by start, then by label.

    Args:
        times_s: (T,) rising; where each moment begins.
        scores: (T, L) in [0, 1], smoothed.
        labels: id and name of each of the L labels.
        options: `enter`, `leave`, `shortest_s` and `bridge_s`.
        end_s: where the last moment ends, at or after the last of `times_s`.
    """
    edges_s = np.append(times_s, end_s)
    found = [
        LabelSegment(
            start_s=float(edges_s[first]),
            end_s=float(edges_s[last]),
            label_id=labels[column][0],
            name=labels[column][1],
            score=float(scores[first:last, column].mean(dtype=np.float64)),
        )
        for column in np.flatnonzero(scores.max(axis=0, initial=0) >= np.float32(options.enter)).tolist()
        for first, last in _kept(scores[:, column], edges_s, options)
    ]
    return tuple(sorted(found, key=lambda segment: (segment.start_s, segment.label_id)))


def hysteresis(scores: NDArray[np.float32], enter: float, leave: float) -> list[tuple[int, int]]:
    """Return (first moment, the one after the last) of each stretch in which one label holds; scores (T,)."""
    if not len(scores):
        return []
    # As float32, so that a score equal to a threshold is equal to it here as well.
    enters, leaves = scores >= np.float32(enter), scores < np.float32(leave)
    decided = np.where(enters | leaves, np.arange(len(scores)), 0)  # between the two, the last decision stands
    holds = enters[np.maximum.accumulate(decided)]
    changes = np.flatnonzero(np.diff(holds, prepend=False, append=False))
    return [(int(first), int(last)) for first, last in changes.reshape(-1, 2)]


def end_of(facts: MediaFacts, times_s: NDArray[np.float64], rate_hz: float) -> float:
    """Return where the last moment ends: a step later, or with the video if that is sooner; a picture lasts no time."""
    if facts.kind == "picture" or not len(times_s):
        return float(times_s[-1]) if len(times_s) else 0.0
    a_step_later_s = float(times_s[-1]) + 1 / rate_hz
    # A header may promise less than there is.
    ends_s = facts.duration_s if facts.duration_s and facts.duration_s > times_s[-1] else a_step_later_s
    return min(ends_s, a_step_later_s)


def _kept(
    scores: NDArray[np.float32], edges_s: NDArray[np.float64], options: LabelOptions
) -> Iterator[tuple[int, int]]:
    """Yield a label's stretches, bridged and long enough."""
    whole_s = edges_s.copy()
    whole_s[-1] = max(edges_s[-1], edges_s[-2] + 1 / options.rate_hz)  # no moment is too short because the video ends
    shortest_s = min(options.shortest_s, whole_s[-1] - whole_s[0]) - ROUNDING_S
    for first, last in _bridged(hysteresis(scores, options.enter, options.leave), edges_s, options.bridge_s):
        if whole_s[last] - whole_s[first] >= shortest_s:
            yield first, last


def _bridged(stretches: list[tuple[int, int]], edges_s: NDArray[np.float64], bridge_s: float) -> list[tuple[int, int]]:
    """Join stretches with a gap of at most `bridge_s` between them."""
    joined: list[tuple[int, int]] = []
    for first, last in stretches:
        if joined and bridge_s and edges_s[first] - edges_s[joined[-1][1]] <= bridge_s + ROUNDING_S:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined
