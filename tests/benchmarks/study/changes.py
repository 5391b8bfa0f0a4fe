"""Rolling means on a real video whose picture changes at known times: how late labels begin and end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tasks.contracts.media import LabelSegment
from tasks.labelling.config import LabelOptions
from tasks.labelling.imagenet import ImagenetLabeller
from tasks.labelling.label import end_of, find_segments
from tasks.labelling.scores import smoothed
from tasks.video.config import MediaBounds

SHOWN_S = {"espresso": (0.0, 2.0), "hotdog": (2.0, 4.0), "banana": (6.0, 8.0), "water bottle": (14.7, 18.8)}
RATE_HZ = 2.0
MEANS = [(1, True), (3, True), (5, True), (15, True), (3, False), (5, False), (15, False)]  # K, and whether centred
HEADS = ("mean", "found", "starts late by", "ends late by", "edges off by")


@dataclass
class Edges:
    """How far the segments that were found are from what is shown."""

    starts_s: list[float] = field(default_factory=list)  # late: above 0
    ends_s: list[float] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table."""
        off_s = np.abs([*self.starts_s, *self.ends_s])
        means = [f"{np.mean(each):+.2f} s" if each else "-" for each in (self.starts_s, self.ends_s)]
        return (f"{len(self.starts_s)} of {len(SHOWN_S)}", *means, f"{off_s.mean():.2f} s" if len(off_s) else "-")


def lines(film: Path) -> list[tuple[str, ...]]:
    """Return a line of the table for each mean."""
    labeller = ImagenetLabeller.open()
    scored = labeller.score(film, MediaBounds(), LabelOptions(rate_hz=RATE_HZ))
    end_s = end_of(scored.facts, scored.times_s, RATE_HZ)
    labels = list(zip(labeller.label_ids, labeller.label_names, strict=True))
    found = list[tuple[str, ...]]()
    for window, centred in MEANS:
        options = LabelOptions(rate_hz=RATE_HZ, window=window, centred=centred)
        means = smoothed(scored.scores, window, centred=centred)
        raw = scored.scores if centred else None
        edges = judged(find_segments(scored.times_s, means, labels, options, end_s, raw))
        name = "none (K = 1)" if window == 1 else f"{'centred' if centred else 'causal'}, K = {window}"
        found.append((name, *edges.cells()))
    return found


def judged(segments: Sequence[LabelSegment]) -> Edges:
    """Take for each label that is shown the segment that overlaps its time most."""
    edges = Edges()
    for name, (start_s, end_s) in SHOWN_S.items():
        overlaps = [
            (min(each.end_s, end_s) - max(each.start_s, start_s), each) for each in segments if each.name == name
        ]
        best_s, best = max(overlaps, key=lambda pair: pair[0], default=(0.0, None))
        if best is not None and best_s > 0:
            edges.starts_s.append(best.start_s - start_s)
            edges.ends_s.append(best.end_s - end_s)
    return edges
