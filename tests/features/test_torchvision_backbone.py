"""Models of torchvision's as feature spaces, beside torchvision's own answers; the weights are made here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tasks.contracts.errors import ConfigError, MissingWeightsError, ReelsiftError, WeightsError
from tasks.features.extractor import Extractor, read_features
from tasks.features.spaces import open_extractor
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.weights.config import Backbone, WeightsEntry
from tasks.weights.store import WeightsStore
from tests.support.media import Tone, shades, write_video

MODEL = "shufflenet_v2_x0_5"  # the smallest that there is


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    from torchvision import models

    torch.manual_seed(0)
    return models.get_model(MODEL, weights=None).eval()


@pytest.fixture(scope="module")
def folder(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("weights")
    torch.save(network.state_dict(), made / "mine.pth")
    return made


def opened(folder: Path, file_name: str = "mine.pth", weights: str = "mine", **settings: Any) -> Extractor:
    table = {"mine": WeightsEntry(file_name=file_name)}
    backbone = Backbone.model_validate({"weights": weights, "model": MODEL, "layer": "conv5"} | settings)
    return open_extractor(
        "own", WeightsStore(folder=folder / "none", given=folder, table=table, backbones={"own": backbone})
    )


def by_hook(network: torch.nn.Module, layer: str, pixels: torch.Tensor) -> np.ndarray:
    """What a module gives, averaged over places."""
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _module, _given, made: kept.append(made))
    with torch.inference_mode():
        network(pixels)
    handle.remove()
    return kept[0].flatten(2).mean(dim=2).numpy() if kept[0].ndim == 4 else kept[0].numpy()


@pytest.mark.parametrize("layer", ["conv5", "stage2.0.branch2.7", "fc"])
def test_a_video_has_what_torchvision_gives_for_its_frames(
    network: torch.nn.Module, folder: Path, layer: str, tmp_path: Path
) -> None:
    extractor = opened(folder, layer=layer, preprocessing="IMAGENET1K_V1")
    clip = write_video(tmp_path / "clip.mp4", shades(24, 320, 240), tone=Tone(2.0))
    found = read_features(clip, MediaBounds(), extractor)
    from torchvision import models

    transform = models.get_model_weights(MODEL)["IMAGENET1K_V1"].transforms()
    with open_frames(clip, MediaBounds(), rate_hz=1) as reader:
        frames = [torch.from_numpy(frame.image).permute(2, 0, 1) for frame in reader]
    wanted = by_hook(network, layer, torch.stack([transform(frame) for frame in frames]))
    np.testing.assert_allclose(found.picture, wanted, atol=1e-4 * np.abs(wanted).max())
    assert found.sound.shape == (len(frames), 128)
    assert extractor.space.modalities[0].size == wanted.shape[1]
    assert layer in extractor.space.extractor


@pytest.mark.parametrize("form", ["safetensors", "checkpoint", "other-head"])
def test_files_of_other_forms(network: torch.nn.Module, folder: Path, form: str, tmp_path: Path) -> None:
    state = dict(network.state_dict())
    name = "mine.safetensors" if form == "safetensors" else "mine.pth"
    if form == "safetensors":
        save_file(state, tmp_path / name)
    elif form == "checkpoint":
        torch.save({"state_dict": state, "epoch": 3}, tmp_path / name)
    else:
        torch.save(state | {"fc.weight": torch.zeros(5, 1024), "fc.bias": torch.zeros(5)}, tmp_path / name)
    first, other = (each.frame_network() for each in (opened(folder), opened(tmp_path, name)))
    picture = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    np.testing.assert_allclose(first.run([first.prepare(picture)]), other.run([other.prepare(picture)]), rtol=1e-5)


class Canary:
    """What a malicious pickle would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "resnet5"}, r"model: torchvision has no 'resnet5'\. Did you mean 'resnet5\d'"),
        ({"layer": "conv6"}, r"layer: shufflenet_v2_x0_5 has no 'conv6'\. Did you mean 'conv5'.* There are conv1"),
        ({"layer": "size"}, r"layer: size of shufflenet_v2_x0_5 gives|has no 'size'"),
        ({"preprocessing": "IMAGENET1K_V2"}, r"has no weights 'IMAGENET1K_V2'\. .*There are IMAGENET1K_V1"),
        ({"weights": "mien"}, r"No weights 'mien'\. Did you mean 'mine'\?.*\[weight_files\.mien\]"),
        (
            {"file_name": "gone.pth"},
            r"space own is not available.* mine is not here\. Put it there by hand",
        ),
    ],
    ids=["model", "layer", "no-tensor", "preprocessing", "no-entry", "no-file"],
)
def test_what_does_not_fit_is_said_in_one_line(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ReelsiftError, match=message) as error:
        opened(folder, **settings)
    assert isinstance(error.value, ConfigError | MissingWeightsError)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["malicious", "text", "empty", "list", "another", "another-shape"])
def test_a_file_that_is_not_the_models_is_refused(network: torch.nn.Module, content: str, tmp_path: Path) -> None:
    path, canary = tmp_path / "mine.pth", tmp_path / "canary"
    made = {
        "malicious": {"conv1.0.weight": Canary(canary)},
        "list": [torch.zeros(3)],
        "another": {"weight": torch.zeros(3)},
        "another-shape": network.state_dict() | {"conv1.0.weight": torch.zeros(3)},
    }
    if content in made:
        torch.save(made[content], path)
    else:
        path.write_text("no weights" if content == "text" else "")
    with pytest.raises(WeightsError, match=r"mine\.pth") as error:
        opened(tmp_path)
    assert "\n" not in str(error.value)
    assert not canary.exists()


def test_settings_of_the_other_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`side` is no setting of a model of torchvision"):
        Backbone(weights="mine", model=MODEL, layer="conv5", side=224)
    with pytest.raises(ValueError, match=r"`layer` is no setting of an ONNX file"):
        Backbone(weights="mine", layer="conv5")
    with pytest.raises(ValueError, match=r"`layer` must name one of shufflenet"):
        Backbone(weights="mine", model=MODEL)


@pytest.mark.parametrize(("shape", "places"), [((1, 9, 0, 0), (2, 3)), ((1, 0, 0, 9), (1, 2))], ids=["nchw", "nhwc"])
def test_places_are_the_axes_that_grow_with_the_picture(shape: tuple[int, ...], places: tuple[int, ...]) -> None:
    from tasks.features.torchvision_backbone import _places

    def run(images: Any) -> np.ndarray:
        return np.zeros([each or images[0].shape[1] // 32 for each in shape])

    picture = np.zeros((3, 224, 224), np.float32)
    assert _places(run, picture, run([picture])) == places
