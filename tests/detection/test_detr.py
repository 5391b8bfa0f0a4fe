"""ONNX files of DETR's kind, beside what ONNX Runtime and a few lines by hand make of the same pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from tasks.contracts.errors import ConfigError, DetectorError, MissingWeightsError, ReelsiftError, WeightsError
from tasks.detection.boxes import Detector
from tasks.detection.config import COCO_CLASSES
from tasks.detection.detector import open_detector
from tasks.weights.config import OnnxDetector, WeightsEntry
from tasks.weights.store import WeightsStore
from tests.detection.conftest import store_of
from tests.support.detr_network import FINISHED, SIDE, detr_network

RANDOM = np.random.default_rng(3)
PICTURES = [RANDOM.integers(0, 256, (height, width, 3), np.uint8) for height, width in ((48, 96), (70, 50), (64, 64))]
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
PLAIN = ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
# As COCO's own files number the classes of these tests' answers: https://cocodataset.org/#format-data.
UNUSED_IDS = {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
NAME_OF_ID = dict(zip([each for each in range(91) if each not in UNUSED_IDS], COCO_CLASSES, strict=True))


def opened(folder: Path, content: bytes, *, min_score: float | None = None, **settings: Any) -> Detector:
    (folder / "mine.onnx").write_bytes(content)
    store = WeightsStore(
        folder=folder / "fetched",
        given=folder,
        table={"mine": WeightsEntry(file_name="mine.onnx")},
        detectors={"own": OnnxDetector(weights="mine", **settings)},
    )
    return open_detector("own", speed="normal", weights=store, min_score=min_score)


def by_hand(content: bytes, picture: np.ndarray, mean: list[float], std: list[float], least: float) -> list[tuple]:
    """Score, class and box of all that is sure, best first."""
    session = ort.InferenceSession(content)
    height, width = picture.shape[:2]
    small = np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    pixels = ((small / 255 - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    names = [each.name for each in session.get_outputs()]
    fed = {"images": pixels} | ({"orig_target_sizes": np.array([[width, height]])} if "scores" in names else {})
    made: dict[str, Any] = dict(zip(names, session.run(None, fed), strict=True))
    if "scores" in names:
        rows = [
            (score, COCO_CLASSES[label], box)
            for label, box, score in zip(made["labels"][0], made["boxes"][0], made["scores"][0], strict=True)
        ]
    else:
        boxes, logits = (
            made[name][0] for name in (("dets", "labels") if "dets" in names else ("pred_boxes", "logits"))
        )
        pairs = sorted(
            (
                (1 / (1 + np.exp(-float(logit))), query, label)
                for query, row in enumerate(logits)
                for label, logit in enumerate(row)
            ),
            key=lambda pair: -pair[0],
        )[: len(logits)]
        rows = []
        for score, query, label in pairs:
            x, y, w, h = boxes[query]
            name = NAME_OF_ID.get(label) if logits.shape[1] == 91 else COCO_CLASSES[label]
            box = np.array([(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height])
            rows.append((score, name, box))
    bound = (width, height, width, height)
    found = [(float(score), name, np.clip(box, 0, bound)) for score, name, box in rows if score >= least and name]
    return sorted(found, key=lambda row: -row[0])


@pytest.mark.parametrize(
    ("network", "settings", "normal"),
    [
        pytest.param({"outputs": FINISHED}, {}, PLAIN, id="D-FINE"),
        pytest.param({"outputs": FINISHED, "batch": 1}, {}, PLAIN, id="one at a time"),
        pytest.param({"outputs": ("dets", "labels"), "classes": 91}, {}, IMAGENET, id="RF-DETR"),
        pytest.param({"outputs": ("pred_boxes", "logits")}, {}, PLAIN, id="transformers"),
        pytest.param({"classes": 91}, dict(zip(("mean", "std"), IMAGENET, strict=True)), IMAGENET, id="set"),
        pytest.param({"sides": ("h", "w")}, {"side": SIDE}, PLAIN, id="open sides"),
    ],
)
def test_each_form_gives_what_onnx_runtime_gives(
    tmp_path: Path, network: dict[str, Any], settings: dict[str, Any], normal: tuple[list[float], list[float]]
) -> None:
    content = detr_network(**network)
    detector = opened(tmp_path, content, **settings)
    found = detector.detect(PICTURES)
    assert len(found) == len(PICTURES)
    for each, picture in zip(found, PICTURES, strict=True):
        expected = by_hand(content, picture, *normal, least=0.5)
        assert len(expected) > 3
        assert [detector.class_names[place] for place in each.class_ids] == [name for _, name, _ in expected]
        np.testing.assert_allclose(each.scores, [score for score, _, _ in expected], atol=1e-5)
        np.testing.assert_allclose(each.boxes, [box for _, _, box in expected], atol=1e-3)
        assert each.masks is None
        (alone,) = detector.detect([picture])
        np.testing.assert_array_equal(alone.boxes, each.boxes)
    assert (detector.record.name, detector.record.weights.name, detector.record.has_masks) == ("own", "mine", False)
    assert str(tuple(map(float, normal[0]))) in str(detector.record.reads)


def test_a_bound_on_scores_is_taken(tmp_path: Path) -> None:
    content = detr_network()
    (found,) = opened(tmp_path, content, min_score=0.9).detect(PICTURES[:1])
    assert len(found) == len(by_hand(content, PICTURES[0], *PLAIN, least=0.9))


def test_the_shipped_ones_are_opened_by_their_names(tmp_path: Path) -> None:
    content = detr_network(sides=("height", "width"))
    (tmp_path / "dfine_n_coco.onnx").write_bytes(content)
    detector = open_detector("dfine-n", speed="normal", weights=store_of(tmp_path))
    assert (detector.record.name, detector.record.reads) == (
        "dfine-n",
        "pred_boxes logits, 640x640, mean (0.0, 0.0, 0.0), std (1.0, 1.0, 1.0)",
    )
    with pytest.raises(MissingWeightsError, match=r"`reelsift weights fetch dfine-s` \(41\.5 MB"):
        open_detector("dfine-s", speed="normal", weights=store_of(tmp_path))
    with pytest.raises(DetectorError, match="dfine-n has one speed"):
        open_detector("dfine-n", speed="fast", weights=store_of(tmp_path))


@pytest.mark.parametrize(
    ("network", "settings", "kind", "message"),
    [
        pytest.param(
            {"outputs": ("boxes", "logits")}, {}, WeightsError, r"is images .* → boxes .*known are", id="names"
        ),
        pytest.param({"inputs": ("pixel_mask",)}, {}, WeightsError, "pixel_mask .*known are", id="another input"),
        pytest.param({"classes": 92}, {}, WeightsError, "has 92 classes, and COCO's 80", id="classes"),
        pytest.param(
            {"classes": 91}, {}, ConfigError, r"\[detectors.own\]: mine.onnx .* set mean = \[0.485", id="mean"
        ),
        pytest.param(
            {"sides": ("h", "w")}, {}, ConfigError, "leaves the size of its pictures open: set `side`", id="side"
        ),
        pytest.param(
            {"sides": (64, 10**6)}, {}, WeightsError, r"takes pictures of 1000000 x 64, over 4096 a side", id="huge"
        ),
        pytest.param({}, {"side": 32}, ConfigError, "takes pictures of 64 x 64, and `side` is 32", id="another side"),
        pytest.param({"batch": 4}, {}, WeightsError, r"should take float \(1 or open, 3", id="batch"),
        pytest.param({"gain": float("nan")}, {}, WeightsError, "no boxes and classes", id="nan"),
    ],
)
def test_what_is_not_known_is_refused_in_one_line(
    tmp_path: Path, network: dict[str, Any], settings: dict[str, Any], kind: type[ReelsiftError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        opened(tmp_path, detr_network(**network), **settings)
    assert "\n" not in str(caught.value)


def test_a_class_that_coco_does_not_have_is_refused(tmp_path: Path) -> None:
    detector = opened(tmp_path, detr_network(outputs=FINISHED, first=40))
    with pytest.raises(DetectorError, match=r"mine.onnx finds the class \d+, and COCO has 80"):
        detector.detect(PICTURES)


def test_a_file_that_fails_on_a_picture_alone_is_refused(tmp_path: Path) -> None:
    detector = opened(tmp_path, detr_network(only_black=True))
    with pytest.raises(
        DetectorError, match=r"^mine.onnx fails \(.*\): give \[detectors.own\] the right file"
    ) as caught:
        detector.detect(PICTURES)
    assert "\n" not in str(caught.value)


def test_weights_that_no_table_has_are_refused(tmp_path: Path) -> None:
    store = WeightsStore(folder=tmp_path, table={}, detectors={"own": OnnxDetector(weights="mine")})
    with pytest.raises(ConfigError, match=r"\[detectors.own\] weights: No weights 'mine'.*\[weight_files.mine\]"):
        open_detector("own", speed="normal", weights=store)
