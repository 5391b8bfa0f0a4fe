"""Labels that depend on nothing but the order of frames, at the length of YouTube-8M's videos: presets as they are.

Every video stands there forwards and backwards, so whatever ignores the order is right about one of two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.classifier.config import PRESETS, ModelKind
from tasks.classifier.splits import training_splits
from tasks.classifier.train import fit
from tasks.datasets.load import Videos
from tasks.records.synthetic import ORDERED, REVERSED, write_order_mirror
from tests.benchmarks.study.clips import OVER_TIME
from tests.support.built import build

PAIRS, FRAMES = 150, (30, 120)
PARTITIONS = ("frame/train", "frame/validate")
USES_ORDER = {ModelKind.LSTM, ModelKind.GRU, ModelKind.ATTENTION, ModelKind.CONVOLUTION}


@dataclass(frozen=True)
class Order:
    """How often a model's best label is right."""

    kind: ModelKind
    accuracy: float


def orders() -> Iterator[Order]:
    """Train all models over time, and judge them on other videos."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        write_order_mirror(place / "mirror", train_shards=2, validate_shards=1, pairs_per_shard=PAIRS, frames=FRAMES)
        labels = (str(ORDERED), str(REVERSED))
        dataset = build(place / "mirror", place / "home", *labels, partitions=PARTITIONS, level="frame")
        train, validate = training_splits(dataset)
        for kind in OVER_TIME:
            yield order_of(kind, train, validate)


def order_of(kind: ModelKind, train: Videos, validate: Videos) -> Order:
    """Train and judge a preset."""
    result = fit(
        train,
        validate,
        label_names={ORDERED: "forwards", REVERSED: "backwards"},
        target_label_ids=(ORDERED, REVERSED),
        config=PRESETS[kind],
        dataset_id="ds-benchmark",
    )
    return Order(kind, result.metrics["hit_at_1"])
