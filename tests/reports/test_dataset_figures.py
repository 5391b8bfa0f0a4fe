"""The figures of a dataset version show what its manifest says."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tasks.contracts.datasets import Cooccurrence, DatasetManifest, LabelCount
from tasks.reports.figures import cooccurrence_figure, label_counts_figure, save_png

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def manifest_of(
    names: list[str], counts: list[list[int]], splits: tuple[str, ...] = ("train", "validate")
) -> DatasetManifest:
    """A version of 40 matching videos with these labels; a label's videos are shared out between the splits."""
    by_split = [{split: counts[place][place] // len(splits) for split in splits} for place in range(len(names))]
    return DatasetManifest(
        id="ds-0123456789ab",
        slug="cooking",
        label_ids=(22,),
        label_names=("Cooking",),
        options={},
        filter_version=1,
        splits={split: f"video/{split}" for split in splits},
        rows=40,
        matches=40,
        records=1000,
        drops={},
        label_counts=tuple(
            LabelCount(index=place, name=name, by_split=by_split[place]) for place, name in enumerate(names)
        ),
        cooccurrence=Cooccurrence(label_ids=tuple(range(len(names))), counts=tuple(map(tuple, counts))),
        shards=(),
        parts=(),
        code_revision="abc123",
    )


FOUR = manifest_of(
    ["Cooking", "Food", "A $5 cake with $3 icing", "An exceedingly long name of a label"],
    [[40, 20, 10, 4], [20, 20, 5, 2], [10, 5, 10, 0], [4, 2, 0, 4]],
)


def names_on(figure: Figure, axis: str) -> list[str]:
    axes = figure.axes[0]
    ticks = axes.get_xticklabels() if axis == "x" else axes.get_yticklabels()
    return [tick.get_text() for tick in ticks]


def test_bars_add_up_to_the_counts() -> None:
    axes = label_counts_figure(FOUR).axes[0]
    widths = [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert widths == [20, 10, 5, 2, 20, 10, 5, 2]
    assert [text.get_text() for text in axes.texts if text.get_text().isdecimal()] == ["40", "20", "10", "4"]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["train", "validate"]


def test_names_are_shortened_and_never_formulas() -> None:
    names = names_on(label_counts_figure(FOUR), "y")
    assert names == ["Cooking", "Food", r"A \$5 cake with \$3 icing", "An exceedingly long name…"]


def test_one_split_needs_no_legend() -> None:
    assert label_counts_figure(manifest_of(["Cooking"], [[40]], ("train",))).axes[0].get_legend() is None


def test_the_map_leaves_out_what_all_videos_have() -> None:
    figure = cooccurrence_figure(FOUR)
    assert names_on(figure, "x") == names_on(figure, "y")
    assert names_on(figure, "y")[0] == "Food"
    shares = np.ma.filled(np.ma.asarray(figure.axes[0].images[0].get_array()), np.nan)
    np.testing.assert_allclose(shares, [[np.nan, 5 / 20, 2 / 20], [5 / 10, np.nan, 0], [2 / 4, 0, np.nan]])
    written = [text.get_text() for text in figure.axes[0].texts if text.get_text().isdecimal()]
    assert written == ["25", "10", "50", "50"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_map_of_less_than_two_labels_says_so(count: int) -> None:
    names, counts = ["Cooking", "Food"], [[40, 4], [4, 4]]
    figure = cooccurrence_figure(manifest_of(names[:count], [row[:count] for row in counts[:count]]))
    assert "There are no two labels to compare." in [text.get_text() for text in figure.axes[0].texts]


def test_no_more_labels_than_can_be_read() -> None:
    many = manifest_of([f"Label {number}" for number in range(30)], (np.eye(30, dtype=int) * 8).tolist())
    assert len(names_on(label_counts_figure(many), "y")) == 25
    assert len(names_on(cooccurrence_figure(many), "y")) == 25


@pytest.mark.parametrize("count", [2, 5])
def test_few_long_names_leave_room_for_the_map(tmp_path: Path, count: int) -> None:
    """Matplotlib warns where its layout finds none, and a warning is an error here."""
    names = [f"Cutting vegetables in a kitchen {number}" for number in range(count)]
    manifest = manifest_of(names, (np.eye(count, dtype=int) * 20).tolist())
    own = manifest.model_copy(update={"label_names": tuple(names), "matches": 20 * count})
    save_png(cooccurrence_figure(own), tmp_path / "map.png")


@pytest.mark.parametrize("draw", [label_counts_figure, cooccurrence_figure])
def test_png(tmp_path: Path, draw: Callable[[DatasetManifest], Figure]) -> None:
    path = save_png(draw(FOUR), tmp_path / "figure.png")
    assert path.read_bytes().startswith(PNG_MAGIC)
    assert list(tmp_path.iterdir()) == [path]
