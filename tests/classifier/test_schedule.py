"""The learning rate's course, at the steps that can be checked by hand."""

import pytest

from tasks.classifier.config import PRESETS, TrainConfig
from tasks.classifier.train import learning_rate

STARTER = PRESETS["moe"]
COSINE = TrainConfig(model=STARTER.model, learning_rate=0.1, schedule="cosine")


@pytest.mark.parametrize(
    ("config", "step", "expected"),
    [
        pytest.param(STARTER, 0, 0.01, id="staircase-starts"),
        pytest.param(STARTER, 3906, 0.01, id="before-4-million-videos"),
        pytest.param(STARTER, 3907, 0.01 * 0.95, id="after-4-million-videos"),
        pytest.param(STARTER, 7813, 0.01 * 0.95**2, id="after-8-million-videos"),
        pytest.param(COSINE, 0, 0.01, id="cosine-warms-up"),
        pytest.param(COSINE, 50, 0.05, id="cosine-half-way"),
        pytest.param(COSINE, 99, 0.1 * 0.0002467, id="cosine-ends-near-zero"),
    ],
)
def test_learning_rate(config: TrainConfig, step: int, expected: float) -> None:
    assert learning_rate(config, step, 100) == pytest.approx(expected, rel=1e-3)
