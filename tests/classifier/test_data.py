"""Videos become the labels, the targets and the tensors that they should."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.classifier.data import chosen_device, examples, kept_labels, multi_hot, multiplies_halves
from tasks.contracts.errors import TrainingError
from tasks.contracts.features import YT8M
from tasks.datasets.load import Videos
from tests.classifier.videos import COOKING, made_videos

VIDEOS = Videos(
    video_ids=np.array(["a", "b", "c", "d"], np.object_),
    features=np.arange(4 * YT8M.size, dtype=np.float32).reshape(4, -1),
    label_offsets=np.array([0, 2, 3, 3, 5]),
    label_ids=np.array([22, 3, 22, 3, 4000], np.int32),
    is_match=np.array([True, True, False, False]),
)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("min_positives", "always", "expected"),
    [
        pytest.param(1, (), (3, 22), id="labels-of-matches-alone-count"),
        pytest.param(2, (), (22,), id="enough"),
        pytest.param(3, (), (), id="too-few"),
        pytest.param(3, (22, 9), (9, 22), id="always"),
    ],
)
def test_kept_labels(min_positives: int, always: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert kept_labels(VIDEOS, min_positives=min_positives, always=always) == expected


def test_multi_hot_leaves_other_labels_out() -> None:
    assert multi_hot(VIDEOS, (3, 22)).tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]
    assert multi_hot(VIDEOS, (22, 3861, 4715)).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_multi_hot_equals_a_loop() -> None:
    videos = made_videos(50, background=0.4)
    labels = (3, 22, 37, 3861)
    ragged = np.split(videos.label_ids, videos.label_offsets[1:-1])
    assert multi_hot(videos, labels).tolist() == [[int(label in row) for label in labels] for row in ragged]


def test_examples_of_all_or_of_the_matches() -> None:
    every = examples(VIDEOS, (3, 22), CPU, matches_only=False)
    assert every.features_NF.data_ptr() == VIDEOS.features.ctypes.data, "shared, not copied"
    assert every.is_match_N.tolist() == [True, True, False, False]
    matching = examples(VIDEOS, (3, 22), CPU, matches_only=True)
    assert len(matching) == 2
    assert matching.features_NF.tolist() == VIDEOS.features[:2].tolist()
    assert matching.targets.dense(torch.arange(2)).tolist() == [[1, 1], [0, 1]]
    assert matching.targets.dense(torch.tensor([1, 0, 1])).tolist() == [[0, 1], [1, 1], [0, 1]]


def test_examples_of_matches_alone_are_not_copied() -> None:
    videos = made_videos(5)
    assert examples(videos, (COOKING,), CPU, matches_only=True).features_NF.data_ptr() == videos.features.ctypes.data


def test_split_keeps_rows_together() -> None:
    parts = list(examples(VIDEOS, (3, 22), CPU, matches_only=False).split(3))
    assert [len(features_BF) for features_BF, _, _ in parts] == [3, 1]
    assert parts[1][1].tolist() == [[1, 0]]


def test_no_labels_at_all() -> None:
    bare = dataclasses.replace(VIDEOS, label_ids=np.zeros(0, np.int32), label_offsets=np.zeros(5, np.int64))
    assert multi_hot(bare, (22,)).sum() == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    assert chosen_device("auto") == CPU
    with pytest.raises(TrainingError, match=r"'cuda' was asked for\. Choose 'auto' or 'cpu'"):
        chosen_device("cuda")


@pytest.mark.parametrize(
    ("flags", "has_units"),
    [("fma avx512f amx_bf16", True), ("avx512f avx512_bf16", True), ("avx512f avx512_vnni", False)],
)
def test_a_processor_says_whether_it_multiplies_halves(
    flags: str, has_units: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n", encoding="utf-8")
    monkeypatch.setattr("tasks.classifier.data.CPU_FACTS", tmp_path / "cpuinfo")
    assert multiplies_halves(torch.device("cpu")) == has_units


def test_where_the_processor_says_nothing_it_has_no_such_units(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tasks.classifier.data.CPU_FACTS", tmp_path / "missing")
    assert not multiplies_halves(torch.device("cpu"))
