"""What the figures of a classifier and of a comparison show."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from tasks.reports.figures import (
    ComparedModel,
    calibration_figure,
    comparison_figure,
    precision_recall,
    precision_recall_figure,
    save_png,
    shortened,
    training_figure,
)

RNG = np.random.default_rng(0)


def texts(figure: Figure) -> list[str]:
    """All that is written in a figure: titles, annotations, legends."""
    found = []
    for axes in figure.axes:
        legend = axes.get_legend()
        found += [axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)]
        found += [text.get_text() for text in legend.get_texts()] if legend else []
    return found


@pytest.mark.parametrize(
    ("scores", "truth", "recall", "precision", "average"),
    [
        pytest.param([0.9, 0.8, 0.7], [1, 0, 1], [0.5, 0.5, 1], [1, 1 / 2, 2 / 3], 5 / 6, id="worked-by-hand"),
        pytest.param([0.5, 0.5], [1, 0], [1], [0.5], 0.5, id="equals-stand-together"),
        pytest.param([0.1, 0.9], [1, 0], [0, 1], [0, 0.5], 0.5, id="unsorted"),
        pytest.param([0.3], [1], [1], [1], 1.0, id="one"),
    ],
)
def test_precision_recall(
    scores: list[float], truth: list[int], recall: list[float], precision: list[float], average: float
) -> None:
    curve = precision_recall(np.array(scores), np.array(truth, bool))
    assert np.allclose(curve.recall, recall)
    assert np.allclose(curve.precision, precision)
    assert curve.average == pytest.approx(average)


def test_a_curve_for_each_of_the_commonest_labels_and_the_pool() -> None:
    truth = RNG.random((200, 9)) < np.linspace(0.5, 0.1, 9)
    truth[:, 1] = False
    figure = precision_recall_figure(RNG.random((200, 9)), truth, [f"label {index}" for index in range(9)])
    legend = [text for text in texts(figure) if text.startswith(("label", "all"))]
    assert len(legend) == 7
    assert legend[0].startswith(f"label 0 ({truth[:, 0].sum()})")
    assert not any("label 1 " in text for text in legend)
    assert legend[-1].startswith("all labels pooled")


def test_a_label_that_every_video_has_is_not_drawn() -> None:
    truth = np.array([[True, True], [True, False]])
    legend = texts(precision_recall_figure(RNG.random((2, 2)), truth, ["Cooking", "Cake"]))
    assert not any(text.startswith("Cooking") for text in legend)
    assert any(text.startswith("Cake (1)") for text in legend)


def test_labels_without_a_positive_have_no_curve() -> None:
    figure = precision_recall_figure(RNG.random((5, 2)), np.zeros((5, 2), bool), ["a", "b"])
    assert figure.axes[0].lines[:] == []


def test_calibration_of_a_model_that_is_always_half_right() -> None:
    scores, truth = np.full((100, 2), 0.85), np.zeros((100, 2), bool)
    truth[:, 0] = True
    figure = calibration_figure(scores, truth)
    model = figure.axes[0].lines[1]
    assert np.allclose(model.get_xydata(), [[0.85, 0.5]])
    assert any("200 pairs" in text and "error 0.350" in text for text in texts(figure))


def test_calibration_counts_scores_of_exactly_0_and_1() -> None:
    figure = calibration_figure(np.array([[0.0, 1.0]]), np.array([[False, True]]))
    assert np.allclose(figure.axes[0].lines[1].get_xydata(), [[0, 0], [1, 1]])
    heights = [bar.get_extents().height > 0 for bar in figure.axes[1].patches]
    assert heights == [True, *[False] * 8, True]


def test_training_marks_the_epoch_that_was_kept() -> None:
    figure = training_figure([3.0, 2.0, 1.0], {"GAP": [0.5, 0.7, 0.6]}, 2)
    loss, metrics = figure.axes
    assert np.allclose(loss.lines[0].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    assert np.allclose(metrics.lines[0].get_ydata(), [0.5, 0.7, 0.6])
    assert "kept: epoch 2" in texts(figure)


def test_comparison_has_a_line_a_model() -> None:
    models = [
        ComparedModel("gated 3", 0.84, 0.33, gain=0.03, interval=(0.02, 0.04)),
        ComparedModel("moe 2", 0.80, 0.17),
    ]
    figure = comparison_figure(models, "165 videos")
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["gated 3", "moe 2"]
    assert left.yaxis_inverted()
    assert "the champion" in texts(figure)
    drawn = [line for line in right.lines if not same_color(line.get_color(), "#6b7280")]
    assert np.allclose(drawn[0].get_xdata(), (0.02, 0.04))
    assert np.allclose(drawn[1].get_xdata(), 0.03)


def test_comparison_without_a_champion_shows_no_gains() -> None:
    figure = comparison_figure([ComparedModel("gated 1", 0.84, 0.33), ComparedModel("moe 2", 0.8, 0.17)], "165 videos")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Models on the same videos"]


def test_png_with_names_that_look_like_formulas(tmp_path: Path) -> None:
    truth = np.ones((4, 3), bool)
    figure = precision_recall_figure(RNG.random((4, 3)), truth, ["A$AP Rocky $", "$$", "Pokémon"])
    assert save_png(figure, tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("Cooking", "Cooking", id="short"),
        pytest.param("Cooking with a very long name", "Cooking with a very l…", id="long"),
        pytest.param("A$AP", r"A\$AP", id="dollar"),
    ],
)
def test_names_that_fit(name: str, shown: str) -> None:
    assert shortened(name) == shown


def test_a_strangers_name_beside_an_axis_is_text() -> None:
    assert shortened("$x$ \x1b[31m\u202ea\nb") == r"\$x\$ a b"
