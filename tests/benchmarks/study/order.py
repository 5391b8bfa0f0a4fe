"""Labels that depend on nothing but the order of frames, at the length of YouTube-8M's videos: presets as they are.

Every video stands there forwards and backwards, so whatever ignores the order is right about one of two.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.classifier.config import PRESETS, ModelKind
from tasks.classifier.splits import training_splits
from tasks.classifier.train import fit
from tasks.datasets.load import Videos
from tasks.records.synthetic import ORDERED, REVERSED, write_order_mirror
from tests.support.built import build

PAIRS, FRAMES = 150, (30, 120)
PARTITIONS = ("frame/train", "frame/validate")
USES_ORDER = {ModelKind.LSTM, ModelKind.GRU, ModelKind.ATTENTION, ModelKind.CONVOLUTION}


def rows() -> list[tuple[str, str, str]]:
    """Return what was measured: (what, measured, required)."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        write_order_mirror(place / "mirror", train_shards=2, validate_shards=1, pairs_per_shard=PAIRS, frames=FRAMES)
        labels = (str(ORDERED), str(REVERSED))
        dataset = build(place / "mirror", place / "home", *labels, partitions=PARTITIONS, level="frame")
        train, validate = training_splits(dataset)
        return [row(kind, train, validate) for kind in ModelKind if kind.is_over_time]


def row(kind: ModelKind, train: Videos, validate: Videos) -> tuple[str, str, str]:
    """Train one preset, and say how often its best label is right."""
    result = fit(
        train,
        validate,
        label_names={ORDERED: "forwards", REVERSED: "backwards"},
        target_label_ids=(ORDERED, REVERSED),
        config=PRESETS[kind],
        dataset_id="ds-benchmark",
    )
    assert result.cost is not None
    measured = f"accuracy {result.metrics['hit_at_1']:.3f}, MAP {result.metrics['map']:.3f}, {result.seconds:.0f} s, "
    return str(kind), measured + f"{result.cost.videos_per_s:,.0f} videos/s", "> 0.95" if kind in USES_ORDER else "0.5"
