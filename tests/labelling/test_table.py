"""`labels.parquet`: the best labels of every moment."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.contracts.media import MediaFacts
from tasks.labelling import label as table_module
from tasks.labelling.label import ModelScores, write_table
from tasks.labelling.scores import SecondScores, best_labels

ROOT = Path(__file__).parents[2]
LABELS = [(30, "hotdog"), (10, "espresso"), (20, "banana")]
FACTS = MediaFacts(kind="video", width=2, height=2, duration_s=2.0, frame_rate=1.0, codec="h264", has_sound=False)


def scored(scores: np.ndarray) -> SecondScores:
    return SecondScores(np.arange(len(scores), dtype=np.float64), scores, scores.mean(axis=0), FACTS, len(scores), 0)


def said(raw: np.ndarray, smooth: np.ndarray, model: str = "colours", always: Iterable[int] = ()) -> ModelScores:
    return ModelScores(model, scored(raw), smooth, LABELS, frozenset(always))


def test_equal_scores_are_ordered_by_label() -> None:
    ids = np.array([30, 10, 20], np.int32)
    assert best_labels(np.array([0.5, 0.5, 0.9], np.float32), ids, 3).tolist() == [2, 1, 0]
    assert best_labels(np.array([[0, 0, 1], [1, 0, 0]], np.float32), ids, 1).tolist() == [[2], [0]]
    assert best_labels(np.zeros(3, np.float32), ids, 99).tolist() == [1, 2, 0]


def test_it_has_the_columns_that_the_contract_names_and_the_best_first(tmp_path: Path) -> None:
    raw = np.array([[0.1, 0.8, 0.3], [0.7, 0.2, 0.4]], np.float32)
    smooth = np.array([[0.1, 0.8, 0.3], [0.4, 0.5, 0.35]], np.float32)
    write_table(tmp_path / "labels.parquet", [said(raw, smooth)], best=2)
    table = pq.read_table(tmp_path / "labels.parquet")
    assert [f"{field.name} {field.type}" for field in table.schema] == [
        "time_s double",
        "label_id int32",
        "name string",
        "score float",
        "smoothed float",
    ]
    assert table["time_s"].to_pylist() == [0, 0, 1, 1]
    assert table["name"].to_pylist() == ["espresso", "banana", "espresso", "hotdog"]
    assert table["label_id"].to_pylist() == [10, 20, 10, 30]
    assert table["score"].to_numpy() == pytest.approx([0.8, 0.3, 0.2, 0.7])
    assert table["smoothed"].to_numpy() == pytest.approx([0.8, 0.3, 0.5, 0.4])


def test_labels_of_segments_are_kept_in_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "MOMENTS_A_GROUP", 3)
    scores = np.random.default_rng(0).random((10, 3), dtype=np.float32)
    write_table(tmp_path / "labels.parquet", [said(scores, scores, always={20})], best=1)
    table = pq.read_table(tmp_path / "labels.parquet").to_pandas()
    assert list(table.groupby("time_s").size()) == [1 if row.argmax() == 2 else 2 for row in scores]
    assert set(table.loc[table["label_id"] == 20, "time_s"]) == set(range(10))
    assert list(table.groupby("time_s")["smoothed"].first()) == list(scores.max(axis=1))


def test_writing_it_does_not_import_pandas(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.labelling.test_table import *
scores = np.ones((2, 3), np.float32)
table_module.write_table(Path(sys.argv[1]), [said(scores, scores)], best=2)
print("pandas" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "labels.parquet")]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout == "False\n"
