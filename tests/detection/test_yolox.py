"""YOLOX by ONNX Runtime, on a small network whose answers are known to the pixel."""

from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import WeightsError
from tasks.detection.yolox import YoloxDetector, letterbox
from tests.detection.conftest import store_of
from tests.support.square_network import SIDE, square_network
from tests.support.square_videos import squares

CANARY = "weights.bin"


def open_network_of(content: bytes, folder: Path, speed: str = "normal", name: str = "yolox-nano") -> YoloxDetector:
    (folder / f"{name.replace('-', '_')}.onnx").write_bytes(content)
    return YoloxDetector.open(name, speed=speed, weights=store_of(folder))


def test_squares_are_found_where_they_are(square_detector: YoloxDetector) -> None:
    found = square_detector.detect([squares(("apple", 36, 20), ("bottle", 76, 84))])[0]
    order = np.argsort(found.class_ids)
    assert [square_detector.class_names[found.class_ids[place]] for place in order] == ["bottle", "apple"]
    np.testing.assert_allclose(found.boxes[order], [[76, 84, 108, 116], [36, 20, 68, 52]], atol=1e-3)
    np.testing.assert_allclose(found.scores, 1.0, atol=1e-5)
    assert found.masks is None


def test_a_batch_gives_what_single_pictures_give(square_detector: YoloxDetector) -> None:
    images = [squares(("cup", 4 + 8 * place, 28)) for place in range(7)]
    together = square_detector.detect(images)
    assert [found.boxes[0, 0] for found in together] == [4.0 + 8 * place for place in range(7)]
    alone = [square_detector.detect([image])[0] for image in images]
    assert all((one.boxes == other.boxes).all() for one, other in zip(together, alone, strict=True))


def test_boxes_are_pixels_of_the_picture_whatever_its_shape(square_detector: YoloxDetector) -> None:
    wide = np.zeros((SIDE, 2 * SIDE, 3), np.uint8)
    wide[8:72, 72:136, 0] = 255  # half as large for the network, and its origin at the upper left
    found = square_detector.detect([wide])[0]
    np.testing.assert_allclose(found.boxes, [[72, 8, 136, 72]], atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (900, 2)], ids=["a pixel", "a row", "a column"])
def test_odd_pictures_do_no_harm(shape: tuple[int, int], square_detector: YoloxDetector) -> None:
    assert len(square_detector.detect([np.zeros((*shape, 3), np.uint8)])[0]) == 0


def test_the_letterbox_is_bgr_with_grey_at_the_right_and_bottom() -> None:
    image = np.zeros((50, 100, 3), np.uint8)
    image[..., 0] = 200
    blob, scale = letterbox(image, 64)
    assert (blob.shape, blob.dtype, scale) == ((1, 3, 64, 64), np.float32, 0.64)
    assert (blob[0, 2, :32] == 200).all()
    assert (blob[0, 0, :32] == 0).all()
    assert (blob[0, :, 32:] == 114).all()


def test_a_speed_changes_an_open_input(tmp_path: Path) -> None:
    # At the speed `rapid` the network sees 224 pixels: squares of 32 there are twice as large in a picture of 448.
    image = np.zeros((448, 448, 3), np.uint8)
    image[8:72, 8:72, 0] = 255
    found = {
        speed: len(open_network_of(square_network(side=None), tmp_path, speed).detect([image])[0])
        for speed in ("normal", "rapid")
    }
    assert found["rapid"] == 1
    assert open_network_of(square_network(side=None), tmp_path, "rapid").record.speed == "rapid"


@pytest.mark.parametrize(("name", "side"), [("yolox-tiny", 416), ("yolox-s", 640), ("yolox-x", 640)])
def test_the_larger_ones_are_the_same_code_on_their_own_file(name: str, side: int, tmp_path: Path) -> None:
    image = np.zeros((side, side, 3), np.uint8)
    image[4:36, 4:36, 0] = 255
    detector = open_network_of(square_network(side=None), tmp_path, name=name)
    np.testing.assert_allclose(detector.detect([image])[0].boxes, [[4, 4, 36, 36]], atol=1e-3)
    assert (detector.record.name, detector.record.weights.name) == (name, name)
    fixed = open_network_of(square_network(side=SIDE), tmp_path, name=name)
    assert len(fixed.detect([squares(("apple", 36, 20))])[0]) == 1
    with pytest.raises(WeightsError, match=rf"takes \(1, 3, 100, 100\) .* \(1, 3, {side}, {side}\): .*fetch {name}`"):
        open_network_of(square_network(side=100), tmp_path, name=name)


def test_the_record_names_the_file(square_detector: YoloxDetector) -> None:
    record = square_detector.record
    assert (record.name, record.speed, record.has_masks) == ("yolox-nano", "normal", False)
    assert record.weights.file_name == "yolox_nano.onnx"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is no network that ONNX Runtime can load", id="empty"),
        pytest.param(b"\x80\x04 not a network" * 9, "is no network that ONNX Runtime can load", id="garbage"),
        pytest.param(square_network()[:9000], "is no network that ONNX Runtime can load", id="truncated"),
        pytest.param(square_network(side=100), r"takes \(1, 3, 100, 100\) where YOLOX takes", id="another input"),
        pytest.param(square_network(channels=60), r"puts out \(1, 336, 60\) where YOLOX has", id="other classes"),
        pytest.param(
            square_network(inputs=("images", "more")), "should have one input and one output", id="two inputs"
        ),
        pytest.param(square_network(gain=float("nan")), "scores outside 0 to 1", id="nan"),
        pytest.param(
            square_network(clip=("Evil", "far.away")), "is no network that ONNX .* Evil", id="custom operator"
        ),
    ],
)
def test_a_wrong_file_gives_one_clear_line(
    content: bytes, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        open_network_of(content, tmp_path)
    assert "\n" not in str(caught.value)
    assert "reelsift weights fetch yolox-nano" in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("where", ["beside it", "working folder", "absolute", "above"])
def test_no_other_file_is_read(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path if where == "working folder" else tmp_path / "here")
    size_bytes = 85 * 3 * 32 * 32 * 4
    (tmp_path / CANARY).write_bytes(bytes(size_bytes))
    location = {"absolute": str(tmp_path / CANARY), "above": f"../{CANARY}"}.get(where, CANARY)
    with pytest.raises(WeightsError, match="External data"):
        open_network_of(square_network(external=location), tmp_path)


def test_a_huge_file_is_not_even_read(tmp_path: Path) -> None:
    with (tmp_path / "yolox_nano.onnx").open("wb") as file:
        file.truncate(1 << 30)
    from tasks.detection.yolox import open_network

    with pytest.raises(WeightsError, match=r"has 1,073,741,824 bytes; no YOLOX has more"):
        open_network(tmp_path / "yolox_nano.onnx")
