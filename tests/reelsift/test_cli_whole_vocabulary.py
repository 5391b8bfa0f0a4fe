"""Every label at once, typed at the installed command: a version of all videos, its candidates, and their judgement."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL

import reelsift
from tasks.classifier.evaluate import labels_of
from tasks.classifier.scoring import evaluate
from tasks.classifier.splits import all_videos
from tests.reelsift.test_cli import reelsift as command

pytestmark = pytest.mark.usefixtures("prefect_server")

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


@pytest.fixture(scope="module")
def home(with_tables: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "quick.toml").write_text(QUICK)
    return with_tables(folder / "home")


def typed(*arguments: object, home: Path) -> Any:
    return command("--config", "quick.toml", *arguments, home=home, PREFECT_API_URL=str(PREFECT_API_URL.value()))


def test_every_video_is_learnt_from(home: Path, synthetic_mirror: Path) -> None:
    run = typed("pipeline", "--label", "all", "--mirror", synthetic_mirror, "--yes", "--json", home=home)
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    dataset, (row,) = made["dataset"], made["comparison"]["rows"]
    assert (dataset["slug"], dataset["matches"], dataset["rows"]) == ("all", 720, 720)
    assert (made["promotion"]["model"], row["kind"]) == ("all/1", "chain")
    version = reelsift.open_dataset(home=home)
    assert version.manifest.label_ids == tuple(range(3862))
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
    refused = typed("dataset", "build", "-l", "ALL", "--match", "all", "--mirror", synthetic_mirror, home=home)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: No video has every label")
