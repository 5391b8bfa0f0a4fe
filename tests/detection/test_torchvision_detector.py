"""Torchvision's detectors on random weights, beside torchvision's own answers."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.contracts.errors import DetectorError, MissingWeightsError, WeightsError
from tasks.detection.boxes import Picture
from tasks.detection.detector import open_detector
from tasks.detection.torchvision_detector import TorchvisionDetector
from tests.detection.conftest import store_of
from tests.support.pointrend_checkpoint import pictures
from tests.support.torchvision_weights import build, write_weights

FILES = {
    "maskrcnn": "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
    "fcos": "fcos_resnet50_fpn_coco-99b0c9b7.pth",
    "ssdlite": "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
}
OUR_SPELLING = {"hair drier": "hair dryer"}
LEAST = 0.6
CANARY = "unpickled"


@pytest.fixture(scope="module", params=FILES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def weights(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp(name) / FILES[name], name)


def opened(name: str, folder: Path, speed: str, min_score: float | None = None) -> TorchvisionDetector:
    detector = open_detector(name, speed=speed, weights=store_of(folder), min_score=min_score)
    assert isinstance(detector, TorchvisionDetector)
    return detector


def theirs(network: Any, image: Picture) -> list[tuple[Any, ...]]:
    """Score, class, box and mask of what torchvision finds, best first; what has no name or no area is nothing."""
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights

    categories = MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1.meta["categories"]
    with torch.inference_mode():
        (found,) = network([torch.from_numpy(image).permute(2, 0, 1) / 255])
    masks = (found["masks"][:, 0] > 0.5).numpy() if "masks" in found else [None] * len(found["scores"])
    names = [OUR_SPELLING.get(categories[label], categories[label]) for label in found["labels"]]
    rows = zip(found["scores"].tolist(), names, found["boxes"].numpy(), masks, strict=True)
    named = [row for row in rows if row[0] >= LEAST and row[1] not in {"N/A", "__background__"}]
    return [row for row in named if row[2][2] > row[2][0] and row[2][3] > row[2][1]]


def test_boxes_classes_and_masks_are_torchvisions(name: str, weights: Path) -> None:
    detector = opened(name, weights.parent, "normal" if name == "ssdlite" else "rapid", LEAST)
    network = build(name)
    network.load_state_dict(torch.load(weights))
    images = [pictures()[0]] if name == "maskrcnn" else [*pictures(), pictures()[0][:120, :160]]
    answers = detector.detect(images)
    for found, image in zip(answers, images, strict=True):
        expected = theirs(network, image)
        assert len(expected) > 10
        assert [detector.class_names[place] for place in found.class_ids] == [row[1] for row in expected]
        np.testing.assert_allclose(found.scores, [row[0] for row in expected], atol=1e-5)
        np.testing.assert_allclose(found.boxes, [row[2] for row in expected], atol=1e-2)
        if name == "maskrcnn":
            assert isinstance(found.masks, np.ndarray)
            np.testing.assert_array_equal(found.masks, [row[3] for row in expected])
            assert len({mask.sum() for mask in found.masks}) > 10
        else:
            assert found.masks is None
    assert (detector.record.name, detector.record.has_masks) == (name, name == "maskrcnn")
    assert detector.record.weights.file_name == FILES[name]


def test_at_the_usual_speed_pictures_are_as_large_as_torchvision_makes_them(name: str, weights: Path) -> None:
    made: Any = opened(name, weights.parent, "normal")._network.transform
    usual = (build(name) if name == "ssdlite" else build(name, max_size=1333)).transform
    assert (made.min_size, made.max_size, made.fixed_size) == (usual.min_size, usual.max_size, usual.fixed_size)
    assert (made.image_mean, made.image_std) == (usual.image_mean, usual.image_std)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path(CANARY).touch, ()


def test_nothing_but_tensors_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"backbone": Evil()}, tmp_path / FILES["ssdlite"])
    with pytest.raises(
        WeightsError, match=r"does not hold weights of PyTorch's .*`reelsift weights fetch ssdlite`"
    ) as e:
        opened("ssdlite", tmp_path, "normal")
    assert "\n" not in str(e.value)
    assert not Path(CANARY).exists()
    pickle.loads(pickle.dumps(Evil()))  # it would have done so
    assert Path(CANARY).exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(build("ssdlite").state_dict(), tmp_path / FILES["fcos"])
    with pytest.raises(WeightsError, match=r"is not of torchvision's fcos_resnet50_fpn: it has no backbone\.body"):
        opened("fcos", tmp_path, "normal")


def test_one_of_one_size_has_one_speed_and_missing_weights_are_said(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"ssdlite has one speed: .* 320 x 320"):
        opened("ssdlite", tmp_path, "fast")
    with pytest.raises(MissingWeightsError, match=r"`reelsift weights fetch maskrcnn` \(186 MB"):
        opened("maskrcnn", tmp_path, "fast")
