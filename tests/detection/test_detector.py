"""Options, and which detector is opened."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from conf.settings import load_weights_table
from tasks.contracts.errors import DetectorError, MissingWeightsError
from tasks.detection import detector
from tasks.detection.config import SHIPPED, DetectOptions
from tasks.detection.detector import choose_detector, chosen_detector, has_gpu, open_detector
from tasks.weights.store import WeightsStore
from tests.detection.conftest import store_of
from tests.support.square_videos import write_picture


def test_classes_of_options_are_spelled_as_the_detectors_do() -> None:
    assert DetectOptions(classes=("Sofa", "hotdog")).classes == ("hot dog", "couch")


def test_an_unknown_class_is_refused_with_the_options() -> None:
    with pytest.raises(DetectorError, match="the nearest are bottle"):
        DetectOptions(classes=("botlle",))


def test_boxes_are_carried_by_tracks_only() -> None:
    with pytest.raises(DetectorError, match="every = 5 carries boxes by tracks"):
        DetectOptions(every=5, tracks=False)


@pytest.mark.parametrize("wrong", [{"every": 0}, {"rate_hz": 0}, {"min_score": 1.5}], ids=["every", "rate", "score"])
def test_options_out_of_bounds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DetectOptions.model_validate(wrong)


def test_auto_without_any_weights_names_the_one_to_fetch(tmp_path: Path) -> None:
    assert chosen_detector("auto", store_of(tmp_path)) == ("pointrend" if has_gpu() else "yolox-nano")
    with pytest.raises(MissingWeightsError, match=r"reelsift weights fetch (pointrend|yolox-nano)"):
        open_detector("auto", speed="normal", weights=store_of(tmp_path))


# By the AP of boxes that the authors publish; on a CPU, none that needs more than 30 G operations for a frame.
@pytest.mark.parametrize(
    ("here", "gpu", "taken", "better"),
    [
        pytest.param(["yolox-nano"], "none", "yolox-nano", "dfine-s .*50.7, 23 x the work.*41.5 MB", id="nano"),
        pytest.param(["yolox-nano", "ssdlite", "yolox-tiny"], "none", "yolox-tiny", "dfine-s", id="tiny"),
        pytest.param(["yolox-s", "dfine-n", "maskrcnn", "yolox-x", "dfine-x"], "none", "dfine-n", "dfine-s", id="n"),
        pytest.param(["yolox-nano", "dfine-s", "pointrend-resnet50"], "none", "dfine-s", None, id="best"),
        pytest.param(["yolox-nano", "pointrend-resnet50"], "torch", "pointrend", "maskrcnn .*47.4.*186 MB", id="masks"),
        pytest.param(["pointrend-resnet50", "pointrend-resnet101"], "torch", "pointrend", "maskrcnn", id="as before"),
        pytest.param(["pointrend-resnet50", "maskrcnn", "dfine-x"], "all", "maskrcnn", None, id="finest masks"),
        pytest.param(["yolox-x", "yolox-nano"], "torch", "yolox-nano", "maskrcnn .*, with masks", id="ONNX on a CPU"),
        pytest.param(["yolox-x", "yolox-nano"], "all", "yolox-x", "maskrcnn", id="ONNX on a GPU"),
    ],
)
def test_auto_is_the_best_that_is_here_and_suits_the_machine(
    here: list[str], gpu: str, taken: str, better: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path)
    for name in here:
        (tmp_path / store.table[name].file_name).write_bytes(b"")
    monkeypatch.setattr(detector, "has_gpu", lambda: gpu != "none")
    monkeypatch.setattr(detector, "onnx_runs_on_gpu", lambda: gpu == "all")
    choice = choose_detector(store)
    assert (choice.detector, chosen_detector("auto", store)) == (taken, taken)
    assert choice.why.startswith(f"{taken}: of those that are here and suit a {'CPU' if gpu == 'none' else 'GPU'}")
    if better is None:
        assert choice.better is None
    else:
        assert re.match(better, choice.better or "")
        assert f"`reelsift weights fetch {better.partition(' ')[0]}`" in (choice.better or "")


def test_every_shipped_detector_has_weights_with_size_digest_and_licence() -> None:
    table = load_weights_table()
    for name, shipped in SHIPPED.items():
        entry = table[shipped.weights]
        assert entry.urls, name
        assert entry.licence != "not stated", name
        if shipped.kind != "pointrend":  # whose publisher says neither
            assert entry.size_bytes, name
            assert entry.whole_sha256, name
            # What torchvision's own names end in is the beginning of the digest.
            if shipped.kind == "torchvision":
                assert entry.file_name.endswith(f"-{entry.whole_sha256[:8]}.pth")


def test_what_is_said_of_torchvisions_is_what_torchvision_says() -> None:
    from torchvision.models import detection

    for name, weights in (
        ("maskrcnn", detection.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1),
        ("fcos", detection.FCOS_ResNet50_FPN_Weights.COCO_V1),
        ("ssdlite", detection.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1),
    ):
        entry = load_weights_table()[name]
        assert entry.urls == (weights.url,)
        assert entry.size_bytes == pytest.approx(weights.meta["_file_size"] * 2**20, abs=600)
        assert SHIPPED[name].box_ap == weights.meta["_metrics"]["COCO-val2017"]["box_map"]
        assert SHIPPED[name].gflops == pytest.approx(2 * weights.meta["_ops"], rel=0.01)


@pytest.mark.parametrize(
    ("name", "speed", "message"),
    [
        pytest.param("yolo", "normal", "No detector 'yolo'; the choices are auto, yolox-nano, .*pointrend", id="name"),
        pytest.param("yolox-nano", "quick", "No speed 'quick'; the choices are normal, fast, rapid", id="speed"),
        pytest.param("yolox-nano", "fast", "yolox-nano has one speed: .* 128 x 128 .* speed 'fast'", id="fixed input"),
    ],
)
def test_what_there_is_not_is_refused(name: str, speed: str, message: str, square_weights: WeightsStore) -> None:
    with pytest.raises(DetectorError, match=message):
        open_detector(name, speed=speed, weights=square_weights)


def test_missing_weights_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="reelsift weights fetch yolox-nano"):
        open_detector("yolox-nano", speed="normal", weights=store_of(tmp_path))


LOOKING = """
import sys
from pathlib import Path
from tasks.detection.config import DetectOptions
from tasks.detection.detect import detect_objects
from tasks.detection.detector import open_detector
from tasks.video.config import MediaBounds
from tasks.weights.store import WeightsStore
from tests.support.square_videos import fetched
detector = open_detector("yolox-nano", speed="normal", weights=WeightsStore.model_validate_json(sys.argv[1]))
picture = fetched(Path(sys.argv[2]))
print(detect_objects(picture, detector, DetectOptions(), MediaBounds(), picture.path.with_name("out")).counts)
heavy = {"torch", "pixellib", "mlflow", "tensorflow", "trackers", "supervision", "matplotlib", "pandas", "prefect"}
print(sorted(heavy & set(sys.modules)))
"""


def test_a_picture_needs_none_of_the_heavy_libraries(square_weights: WeightsStore, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "p.png", ("apple", 4, 4))
    command = [sys.executable, "-c", LOOKING, square_weights.model_dump_json(), str(picture.path)]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert made.stdout.splitlines() == ["{'apple': 1}", "[]"]
