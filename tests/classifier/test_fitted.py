"""A classifier survives its folder bit for bit, and no other folder passes for one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from tasks.classifier.config import PRESETS, ModelKind
from tasks.classifier.fitted import METADATA_NAME, PREDICT_ROWS, WEIGHTS_NAME, FittedClassifier
from tasks.classifier.models import build_model
from tasks.contracts.errors import ModelError
from tasks.contracts.features import YT8M

ROWS = np.random.default_rng(0).standard_normal((9, YT8M.size), dtype=np.float32)


def made(kind: str = "gated", *, has_match: bool = True) -> FittedClassifier:
    torch.manual_seed(0)
    config = PRESETS[kind]
    return FittedClassifier(
        module=build_model(config, 3 + has_match),
        label_ids=(3, 22, 37),
        label_names=("Concert", "Cooking", "Food"),
        config=config,
        dataset_id="ds-0123456789ab",
        has_match=has_match,
    )


def rows_for(kind: str) -> NDArray[np.float32]:
    """The rows as videos, for models over time as videos of one moment."""
    return ROWS[:, None] if PRESETS[kind].model.is_over_time else ROWS


@pytest.mark.parametrize("kind", PRESETS)
@pytest.mark.parametrize("has_match", [True, False], ids=["match", "no-match"])
def test_comes_back_equal(tmp_path: Path, kind: str, has_match: bool) -> None:
    before = made(kind, has_match=has_match)
    before.save(tmp_path)
    after = FittedClassifier.load(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [METADATA_NAME, WEIGHTS_NAME]
    assert np.array_equal(after.predict(rows_for(kind)), before.predict(rows_for(kind)))
    for name in ("label_ids", "label_names", "config", "dataset_id", "has_match", "space", "match_index"):
        assert getattr(after, name) == getattr(before, name)


@pytest.mark.parametrize("kind", PRESETS)
def test_answers_probabilities_of_raw_features(kind: str) -> None:
    classifier, rows = made(kind), rows_for(kind)
    probabilities = classifier.predict(rows)
    assert probabilities.shape == (9, 3)
    assert probabilities.dtype == np.float32
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert classifier.predict(rows * 5) == pytest.approx(probabilities, abs=1e-6)  # normalising is inside
    assert classifier.predict_match(rows).shape == (9,)
    assert classifier.predict(rows[:0]).shape == (0, 3)


def test_rows_do_not_depend_on_their_neighbours() -> None:
    rows = np.resize(ROWS, (PREDICT_ROWS + 5, YT8M.size))
    assert made().predict(rows)[-5:] == pytest.approx(made().predict(rows[-5:]), abs=1e-6)


def test_a_model_without_the_output_does_not_guess_the_match() -> None:
    classifier = made(has_match=False)
    assert classifier.match_index is None
    with pytest.raises(ModelError, match=r"trained on matching videos alone.*--background all"):
        classifier.predict_match(ROWS)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        pytest.param(np.zeros((2, 1024), np.float32), r"must have shape \(n, 1152\), got \(2, 1024\)", id="width"),
        pytest.param(np.zeros(YT8M.size, np.float32), r"must have shape \(n, 1152\), got \(1152,\)", id="one-axis"),
        pytest.param(np.full((2, YT8M.size), np.nan, np.float32), "row 0 of 2 are not finite", id="nan"),
    ],
)
def test_features_are_checked(features: np.ndarray, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        made().predict(features)


def test_read_only_features_are_fine() -> None:
    frozen = ROWS.copy()
    frozen.flags.writeable = False
    assert np.array_equal(made().predict(frozen), made().predict(ROWS))


def with_card(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / METADATA_NAME).read_text())
        (folder / METADATA_NAME).write_text(json.dumps(card | changes))

    return change


def cut_weights(folder: Path) -> None:
    (folder / WEIGHTS_NAME).write_bytes((folder / WEIGHTS_NAME).read_bytes()[:100])


def other_weights(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS_NAME)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, folder / WEIGHTS_NAME)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda folder: (folder / METADATA_NAME).unlink(), "No classifier at .*reelsift train", id="no-card"
        ),
        pytest.param(
            lambda folder: (folder / METADATA_NAME).write_text("{"), "not a classifier's metadata", id="no-json"
        ),
        pytest.param(lambda folder: (folder / WEIGHTS_NAME).unlink(), "cannot be read", id="no-weights"),
        pytest.param(cut_weights, "cannot be read", id="cut-weights"),
        pytest.param(other_weights, "do not belong together", id="other-weights"),
        pytest.param(with_card(surprise=1), "surprise: Extra inputs", id="unknown-field"),
        pytest.param(with_card(format_version=2), "format_version", id="newer-format"),
        pytest.param(with_card(feature_space="openai-clip"), "feature_space", id="other-features"),
        pytest.param(with_card(label_ids=[3, 22]), "2 label ids, 2 distinct, 3 names", id="labels-and-names-differ"),
        pytest.param(with_card(label_ids=[3, 3, 22]), "3 label ids, 2 distinct", id="repeated-label"),
        pytest.param(with_card(has_match=False), "have the tensors .* the gated model", id="other-outputs"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    made().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelError, match=message):
        FittedClassifier.load(tmp_path)


def test_the_presets_cover_every_kind() -> None:
    assert {config.model for config in PRESETS.values()} == set(ModelKind)
