"""Every label at once: a version of all videos, the candidates that it has by default, and their judgement."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import reelsift
from conf.environment import CONFIG_VARIABLE
from tasks.classifier.evaluate import labels_of
from tasks.classifier.scoring import evaluate
from tasks.classifier.splits import all_videos
from tests.reelsift.test_cli import reelsift as command

QUICK = """
[presets.links]
model = "chain"
stages = 2
hidden_size = 32
epochs = 6
learning_rate = 0.005
batch_size = 64
[train]
vocabulary_models = ["links"]
"""


@pytest.fixture
def home(with_tables: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "quick.toml").write_text(QUICK)
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "quick.toml"))
    return with_tables(tmp_path / "home")


def test_every_video_is_learnt_from(home: Path, synthetic_mirror: Path) -> None:
    version = reelsift.build_dataset("all", mirror=synthetic_mirror, home=home)
    manifest = version.manifest
    assert (manifest.slug, manifest.matches, manifest.rows) == ("all", 720, 720)
    assert manifest.label_ids == tuple(range(3862))
    training = reelsift.train(version)
    (candidate,) = training.candidates
    assert (candidate.reference, candidate.kind) == ("all/1", "chain")
    assert training.promote().promoted
    videos = all_videos(version.dataset)
    assert (len(videos), videos.features.dtype) == (720, np.float16)
    found = evaluate(reelsift.load_model("all@champion", home=home), videos, labels_of(videos))
    assert found.gap > 0.6
    assert 0.95 < found.coverage <= 1
    assert len(found.labels) < 40, "the labels that nobody can learn are not in the model"


def test_all_but_some(home: Path, synthetic_mirror: Path) -> None:
    built = reelsift.build_dataset(["All"], exclude="Cooking", mirror=synthetic_mirror, limit=2, home=home)
    assert built.reference.startswith("all-not-cooking/ds-")
    assert len(built.manifest.label_ids) == 3861
    assert built.manifest.is_whole_vocabulary
    assert 22 not in {each.index for each in built.manifest.label_counts}
    numbered = reelsift.build_dataset(list(map(str, range(3862))), mirror=synthetic_mirror, limit=1, home=home)
    assert numbered.reference == reelsift.build_dataset("all", mirror=synthetic_mirror, limit=1, home=home).reference


def test_what_all_cannot_mean(home: Path, synthetic_mirror: Path) -> None:
    refused = command("dataset", "build", "-l", "ALL", "--match", "all", "--mirror", synthetic_mirror, home=home)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: No video has every label")
