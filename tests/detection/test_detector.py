"""Options, and which detector is opened."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.contracts.errors import DetectorError, MissingWeightsError
from tasks.detection.config import DetectOptions
from tasks.detection.detector import chosen_detector, has_gpu, open_detector
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


def test_auto_is_yolox_without_a_gpu() -> None:
    assert chosen_detector("auto") == ("pointrend" if has_gpu() else "yolox-nano")


@pytest.mark.parametrize(
    ("name", "speed", "message"),
    [
        pytest.param("yolo", "normal", "No detector 'yolo'; the choices are auto, pointrend, .*yolox-nano", id="name"),
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
