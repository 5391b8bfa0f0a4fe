"""The learning rate of a step.

In: a config, a step and how many there will be. Out: a number. Does not know the optimiser.
"""

import math

from tasks.classifier.config import TrainConfig

STAIR_VIDEOS = 4_000_000  # the starter code's learning_rate_decay_examples
STAIR_FACTOR = 0.95  # and its learning_rate_decay
WARM_UP_SHARE = 0.1  # of a cosine's steps; Adam's first steps are poorly scaled


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return the learning rate of `step` (from 0) of `steps`."""
    if config.schedule == "staircase":
        return config.learning_rate * STAIR_FACTOR ** (step * config.batch_size // STAIR_VIDEOS)
    warm = min(1.0, (step + 1) / (WARM_UP_SHARE * steps))
    return config.learning_rate * warm * (1 + math.cos(math.pi * step / steps)) / 2
