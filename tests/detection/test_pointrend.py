"""PointRend side by side with PixelLib, on random weights in the format of the real ones."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tasks.contracts.errors import DetectorError, MissingWeightsError, WeightsError
from tasks.detection.boxes import Detections, Picture
from tasks.detection.config import COCO_CLASSES
from tasks.detection.detector import open_detector
from tasks.detection.pointrend import PointRendDetector, in_halves, input_size, resized
from tasks.detection.pointrend_network import NoInitialWeights, build_network
from tasks.weights.store import WeightsStore
from tests.benchmarks.bench_streaming import MODELS
from tests.benchmarks.gpu import PARTS
from tests.detection.conftest import store_of
from tests.support.pointrend_checkpoint import pictures, write_checkpoint

ROOT = Path(__file__).parents[2]
BOX_PIXELS = 1e-3  # that a box may differ by
SPEEDS = {"normal": None, "fast": "fast", "rapid": "rapid"}  # and what PixelLib calls them
# A strip of the first picture that has enough to find at this speed.
STRIPS = {"normal": slice(60, 90), "fast": slice(40, 100), "rapid": slice(40, 100)}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other take ten times as long where other processes want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> WeightsStore:
    folder = tmp_path_factory.mktemp("pointrend")
    write_checkpoint(folder / "pointrend_resnet50.pkl")
    return store_of(folder)


@pytest.fixture(scope="module")
def rapid(store: WeightsStore) -> PointRendDetector:
    return PointRendDetector.open("resnet50", speed="rapid", weights=store)


def pixellib_of(store: WeightsStore, speed: str) -> Any:
    """Return PixelLib itself, at a speed."""
    import pixellib.torchbackend.instance as pixellib

    path = store.path("pointrend-resnet50")
    theirs = pixellib.instanceSegmentation()
    with NoInitialWeights():  # as in ours: all come from the checkpoint
        theirs.load_model(str(path), detection_speed=SPEEDS[speed])
    return theirs


def raw_answer(theirs: Any, path: Path) -> tuple[Any, Any]:
    """Return what PixelLib's network says, before `segmentImage` cuts it down, and what `segmentImage` makes of it."""
    kept: list[Any] = []
    look = theirs.predictor.segment
    theirs.predictor.segment = lambda image: kept.append(look(image)["instances"]) or {"instances": kept[-1]}
    made, _ = theirs.segmentImage(str(path))
    theirs.predictor.segment = look
    return kept[0], made


@pytest.mark.parametrize("speed", list(SPEEDS))
def test_boxes_classes_and_scores_are_those_of_pixellib(
    store: WeightsStore, rapid: PointRendDetector, tmp_path: Path, speed: str
) -> None:
    ours = rapid if speed == "rapid" else PointRendDetector.open("resnet50", speed=speed, weights=store)
    theirs = pixellib_of(store, speed)
    image = np.ascontiguousarray(pictures()[0][STRIPS[speed]])
    cv2.imwrite(str(tmp_path / "picture.png"), image[:, :, ::-1])
    (found,) = ours.detect([image])
    raw, made = raw_answer(theirs, tmp_path / "picture.png")
    assert len(found) >= 5
    assert len(set(found.class_ids)) >= 2
    np.testing.assert_allclose(found.boxes, raw.pred_boxes.tensor.numpy(), atol=BOX_PIXELS, rtol=0)
    np.testing.assert_array_equal(found.class_ids, raw.pred_classes.numpy())
    np.testing.assert_allclose(found.scores, raw.scores.numpy(), atol=1e-4)
    assert isinstance(found.masks, np.ndarray)
    assert (found.masks != raw.pred_masks.numpy()).mean() < 1e-4
    assert found.masks.any(axis=(1, 2)).all()
    # `segmentImage` leaves whole pixels and percents.
    assert np.abs(found.boxes - made["boxes"]).max() < 1 + BOX_PIXELS
    assert np.abs(found.scores * 100 - made["scores"].numpy()).max() < 1.01
    assert [COCO_CLASSES[each] for each in found.class_ids] == made["class_names"]


@pytest.mark.parametrize("speed", list(SPEEDS))
@pytest.mark.parametrize(
    "size",
    [(320, 240), (240, 320), (640, 360), (100, 100), (1920, 817), (33, 500), (1, 1), (1, 5000)],
    ids=lambda size: f"{size[0]}x{size[1]}",
)
def test_the_network_is_shown_what_pixellib_shows_it(store: WeightsStore, size: tuple[int, int], speed: str) -> None:
    from pixellib.torchbackend.instance.data.transforms import ResizeShortestEdge

    width, height = size
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    longest = {"normal": 1333, "fast": 667, "rapid": 333}[speed]
    step: Any = ResizeShortestEdge([800, 800], longest).get_transform(image)
    inner = input_size(width, height, speed)
    # Beyond 2,666 : 1 a side would have no pixel, and Pillow fails.
    assert inner == (max(1, step.new_w), max(1, step.new_h))
    if min(step.new_w, step.new_h):
        np.testing.assert_array_equal(resized(image, inner), step.apply_image(image))


def test_each_speed_shows_the_network_less(store: WeightsStore) -> None:
    assert [input_size(640, 360, speed) for speed in SPEEDS] == [(1333, 750), (667, 375), (333, 187)]
    assert [input_size(320, 240, speed) for speed in SPEEDS] == [(1067, 800), (667, 500), (333, 250)]


def test_pictures_together_are_as_each_alone_in_their_order(rapid: PointRendDetector) -> None:
    first, second = (np.ascontiguousarray(each[40:100]) for each in pictures())
    upright = np.ascontiguousarray(pictures()[0][40:140, 130:180])
    together = rapid.detect([first, upright, second])
    for image, found in zip((first, upright, second), together, strict=True):
        (alone,) = rapid.detect([image])
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=BOX_PIXELS, rtol=0)
        np.testing.assert_array_equal(found.class_ids, alone.class_ids)
        assert isinstance(found.masks, np.ndarray)
        assert found.masks.shape == (len(found), *image.shape[:2])
    assert all(len(found) for found in together)


def test_a_picture_of_nothing_has_no_boxes(rapid: PointRendDetector, store: WeightsStore) -> None:
    (found,) = PointRendDetector.open("resnet50", speed="rapid", weights=store, min_score=0.9999).detect(
        [pictures()[0][40:60]]
    )
    assert len(found) == 0
    assert isinstance(found.masks, np.ndarray)
    assert found.masks.shape == (0, 20, 320)
    assert found.boxes.shape == (0, 4)
    assert found.masks.dtype == np.bool_


def test_no_pictures_give_no_answers(rapid: PointRendDetector) -> None:
    assert rapid.detect([]) == []


def test_the_record_names_weights_speed_and_device(rapid: PointRendDetector) -> None:
    assert rapid.record.name == "pointrend-resnet50"
    assert (rapid.record.speed, rapid.record.has_masks) == ("rapid", True)
    assert rapid.record.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert rapid.record.weights.file_name == "pointrend_resnet50.pkl"


def test_classes_are_those_of_pixellib(rapid: PointRendDetector) -> None:
    import pixellib.torchbackend.instance as pixellib

    assert list(rapid.class_names) == pixellib.instanceSegmentation().class_names


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"pointrend_resnet101.pkl is not here"):
        open_detector("pointrend-resnet101", speed="fast", weights=store_of(tmp_path))


def test_weights_of_the_other_network_are_refused(store: WeightsStore, tmp_path: Path) -> None:
    path = store.path("pointrend-resnet50")
    assert path
    (tmp_path / "pointrend_resnet101.pkl").symlink_to(path)
    with pytest.raises(
        WeightsError, match=r"belongs to another network: backbone\S+ must have shape .* got .*resnet101"
    ):
        PointRendDetector.open("resnet101", speed="rapid", weights=store_of(tmp_path))


def test_malicious_weights_do_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    code = f"cposix\nsystem\n(Vtouch {canary}\ntR."
    (tmp_path / "pointrend_resnet50.pkl").write_text(code)
    with pytest.raises(
        WeightsError, match=r"pointrend_resnet50.pkl is no checkpoint of arrays: it asks for 'posix.sys"
    ):
        open_detector("pointrend", speed="normal", weights=store_of(tmp_path))
    assert not canary.exists()


def test_the_larger_network_is_a_resnext_as_in_pixellib() -> None:
    with NoInitialWeights():
        network = build_network("resnet101", "cpu", 0.5)
    blocks = network.backbone.bottom_up.stages[2]
    assert len(blocks) == 23
    assert blocks[0].conv2.groups == 32
    assert network.pixel_std.flatten().tolist() == pytest.approx([57.375, 57.12, 58.395])


def found_in(images: Sequence[Picture]) -> list[Detections]:
    """Stand for the network: say how large each picture is."""
    return [
        Detections(np.zeros((1, 4), np.float32), np.full(1, image.size, np.float32), np.zeros(1, np.int16))
        for image in images
    ]


def test_a_full_gpu_takes_fewer_pictures_at_a_time() -> None:
    """There is not always a GPU to fill: what it does when it is full is done here by hand."""
    sizes: list[int] = []

    def look(images: Sequence[Picture]) -> list[Detections]:
        sizes.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return found_in(images)

    images = [np.zeros((1, side, 3), np.uint8) for side in range(1, 9)]
    found, at_once = in_halves(look, images)
    assert [each.scores[0] for each in found] == [3.0 * side for side in range(1, 9)]
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    assert at_once == 2


def test_a_gpu_too_small_for_a_picture_says_what_to_do() -> None:
    def look(images: Sequence[Picture]) -> list[Detections]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DetectorError, match=r"not the memory for a picture of 640 x 360: take `--speed fast`"):
        in_halves(look, [np.zeros((360, 640, 3), np.uint8)] * 3)


def bench_gpu(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Type `make bench-gpu`."""
    environment = os.environ | {"COLUMNS": "250"} | variables
    command = ["make", "--no-print-directory", "bench-gpu", *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_its_benchmark_says_so_and_is_done() -> None:
    run = bench_gpu()
    assert (run.returncode, run.stdout.count("\n"), run.stderr) == (0, 1, "")
    assert run.stdout.startswith("No GPU here, so there is nothing to measure")


def test_the_benchmark_of_a_gpu_runs_on_the_cpu_and_has_every_row(store: WeightsStore) -> None:
    """Here, as its first part wants the weights that the tests above have made."""
    weights = store.path("pointrend-resnet50")
    assert weights
    run = bench_gpu("TINY=--tiny", POINTREND_WEIGHTS=str(weights.parent), OMP_NUM_THREADS="1")
    assert run.returncode == 0, run.stderr
    assert "not measured" not in run.stdout
    lines = run.stdout.splitlines()
    wanted = {
        "detection": ["PointRend rapid, 2 frames of 96x64"],
        "mask-rcnn": ["Mask R-CNN ResNet-50 FPN v2"],
        "labelling": ["labelling 2 clips by imagenet"],
        "features": ["the bare network", "end to end, one clip after", "as an import does it"],
        "vocabulary": [f"`{name}` learns 30 labels of 2,000 videos" for name in ("logistic", "gated", "chain")],
        "over-time": [f"`{name}` learns from 16 videos" for name in MODELS],
    }
    assert wanted.keys() == PARTS.keys()
    for part, rows in wanted.items():
        for row in rows:
            assert any(line.startswith(part) and row in line for line in lines), row
