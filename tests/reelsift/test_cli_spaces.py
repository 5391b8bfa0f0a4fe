"""Videos of one's own by features of each kind of space, as it is typed: TensorFlow, torchvision, an ONNX file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prefect.settings import PREFECT_API_URL

import reelsift as package
from tests.imports.made import write_classes
from tests.reelsift.test_cli import reelsift
from tests.support.picture_network import CHANNELS, picture_network

pytestmark = pytest.mark.usefixtures("prefect_server")
MODEL = "shufflenet_v2_x0_5"  # the smallest that torchvision has
SETTINGS = f"""
[weight_files.mine]
file_name = "mine.pth"

[weight_files.net]
file_name = "net.onnx"

[feature_spaces.shuffle]
weights = "mine"
model = "{MODEL}"
layer = "conv5"

[feature_spaces.net]
weights = "net"
sound = false
"""


def write_shuffle(folder: Path, _: Path) -> None:
    from torchvision import models

    torch.manual_seed(0)
    torch.save(models.get_model(MODEL, weights=None).state_dict(), folder / "mine.pth")


def write_net(folder: Path, _: Path) -> None:
    (folder / "net.onnx").write_bytes(picture_network())


def write_yt8m(folder: Path, feature_weights: Path) -> None:
    shutil.copytree(feature_weights, folder, dirs_exist_ok=True)


@pytest.mark.parametrize(
    ("name", "write", "columns"),
    [
        pytest.param("shuffle", write_shuffle, {"picture": 1024, "sound": 128}, id="torchvision"),
        pytest.param("net", write_net, {"picture": CHANNELS}, id="onnx"),
        pytest.param("yt8m", write_yt8m, {"mean_rgb": 1024, "mean_audio": 128}, id="yt8m"),
    ],
)
def test_videos_are_imported_by_features_of_a_space(
    name: str, write: Callable[[Path, Path], object], columns: dict[str, int], feature_weights: Path, tmp_path: Path
) -> None:
    write(tmp_path, feature_weights)
    (tmp_path / "mine.toml").write_text(SETTINGS)
    write_classes(tmp_path / "clips", each=2)
    run = reelsift(
        "--config", "mine.toml", "dataset", "import", "clips", "--features", name, "--json",
        home=tmp_path / "home", PREFECT_API_URL=str(PREFECT_API_URL.value()), REELSIFT_WEIGHTS=str(tmp_path),
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    assert (made["rows"], made["extracted"], made["drops"]) == (4, 4, {})
    version = package.open_dataset("clips", home=tmp_path / "home")
    assert {each.name: each.size for each in version.manifest.space.modalities} == columns
    frame: Any = version.to_pandas(features=True)
    for column, size in columns.items():
        values = np.stack(list(frame[column]))
        assert values.shape == (4, size)
        assert np.isfinite(values).all()
        assert len(np.unique(values.round(6), axis=0)) > 1
    assert made.get("without_sound") == (0 if name == "net" else 2)
