"""Made-up videos with a structure that can be learnt: each label is a direction in the feature space."""

import numpy as np

from tasks.contracts.features import YT8M
from tasks.datasets.load import Videos

COOKING = 22
OTHERS = (3, 37, 89, 162, 3861)
NAMES = {COOKING: "Cooking", 3: "Concert", 37: "Food", 89: "Cake", 162: "Baking"}
SIGNAL = 0.08  # beside noise of the real features' 0.46: learnt in seconds, not perfectly


def made_videos(count: int, *, seed: int = 0, background: float = 0.0) -> Videos:
    """Return `count` videos, about a share `background` of them without Cooking and thus no match."""
    rng = np.random.default_rng(seed)
    is_match = rng.random(count) >= background
    others = rng.random((count, len(OTHERS))) < np.linspace(0.5, 0.1, len(OTHERS))
    has = np.column_stack([is_match, others])
    directions = np.random.default_rng(7).standard_normal((len(OTHERS) + 1, YT8M.size))
    features = has @ directions * SIGNAL + rng.standard_normal((count, YT8M.size)) * 0.46
    ids = np.array((COOKING, *OTHERS), np.int32)
    return Videos(
        video_ids=np.array([f"{number:04x}" for number in range(count)], np.object_),
        features=features.astype(np.float32),
        label_offsets=np.concatenate([[0], has.sum(axis=1).cumsum()]).astype(np.int64),
        label_ids=np.broadcast_to(ids, has.shape)[has],
        is_match=is_match,
    )
