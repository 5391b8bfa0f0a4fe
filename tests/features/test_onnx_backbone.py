"""ONNX files as feature spaces, beside what ONNX Runtime and NumPy make of the same pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from tasks.contracts.errors import ConfigError, ReelsiftError, WeightsError
from tasks.contracts.files import file_digest
from tasks.features.extractor import Extractor, read_features
from tasks.features.spaces import open_extractor
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.weights.config import Backbone, WeightsEntry
from tasks.weights.store import WeightsStore
from tests.support.media import Tone, write_video
from tests.support.picture_network import CHANNELS, SIDE, STRIDE, kernels, picture_network

RANDOM = np.random.default_rng(0)
PICTURES = [RANDOM.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(7)]


def opened(folder: Path, content: bytes, *, sha256: str | None = None, **settings: Any) -> Extractor:
    (folder / "mine.onnx").write_bytes(content)
    store = WeightsStore(
        folder=folder / "fetched",
        given=folder,
        table={"mine": WeightsEntry(file_name="mine.onnx", sha256=sha256)},
        backbones={"own": Backbone(weights="mine", **settings)},
    )
    return open_extractor("own", store)


def by_hand(pictures: list[np.ndarray]) -> np.ndarray:
    """The means over places of the convolution of RGB pictures, (n, 5)."""
    found = []
    for picture in pictures:
        cells = picture.reshape(SIDE // STRIDE, STRIDE, SIDE // STRIDE, STRIDE, 3).transpose(0, 2, 4, 1, 3)
        found.append(np.einsum("hwcij,ocij->o", cells, kernels()) / (SIDE // STRIDE) ** 2)
    return np.array(found)


def run(extractor: Extractor, pictures: list[np.ndarray]) -> np.ndarray:
    network = extractor.frame_network()
    return network.run([network.prepare(picture) for picture in pictures])


@pytest.mark.parametrize("output", ["features", "map"])
@pytest.mark.parametrize("batch", ["n", 1, 3])
@pytest.mark.parametrize("takes_bytes", [False, True], ids=["floats", "bytes"])
@pytest.mark.parametrize("colours_last", [False, True], ids=["nchw", "nhwc"])
def test_each_form_of_input_and_output(
    tmp_path: Path, colours_last: bool, takes_bytes: bool, batch: int | str, output: str
) -> None:
    content = picture_network(colours_last=colours_last, takes_bytes=takes_bytes, batch=batch, outputs=(output,))
    extractor = opened(tmp_path, content)
    count = batch if isinstance(batch, int) else 4
    scale = 1 if takes_bytes else 1 / 255
    np.testing.assert_allclose(
        run(extractor, PICTURES[:count]), by_hand(PICTURES[:count]) * scale, rtol=1e-3, atol=1e-4
    )
    assert extractor.space.modalities[0].size == CHANNELS
    assert extractor.frame_network().batch_size == (batch if isinstance(batch, int) else 1)


def test_what_a_video_has_is_what_onnx_runtime_gives_for_its_frames(tmp_path: Path) -> None:
    settings = {"scale": 0.5, "mean": (1.0, 2.0, 3.0), "std": (4.0, 5.0, 6.0), "colours": "bgr", "output": "features"}
    content = picture_network(batch=2, outputs=("map", "features"))
    extractor = opened(tmp_path, content, **settings)
    clip = write_video(
        tmp_path / "clip.mp4", PICTURES[:3], times_s=[0.0, 1.0, 2.0], tone=Tone(3.0), encoder={"crf": "1"}
    )
    found = read_features(clip, MediaBounds(), extractor)
    session = ort.InferenceSession(picture_network(outputs=("features",)))
    with open_frames(clip, MediaBounds(), rate_hz=1) as reader:
        frames = np.stack([frame.image for frame in reader])
    pixels = ((frames * 0.5 - np.array([1, 2, 3])) / np.array([4, 5, 6])).astype(np.float32)
    wanted: Any = session.run(["features"], {"picture": pixels[..., ::-1].transpose(0, 3, 1, 2).copy()})[0]
    np.testing.assert_allclose(found.picture, wanted, rtol=1e-4, atol=1e-3)
    assert found.sound.shape == (3, 128)
    assert found.mean().shape == (1, CHANNELS + 128)


def test_a_space_without_sound(tmp_path: Path) -> None:
    extractor = opened(tmp_path, picture_network(), sound=False, rate_hz=2.0)
    clip = write_video(tmp_path / "clip.mp4", PICTURES[:2], times_s=[0.0, 0.5], tone=Tone(1.0))
    found = read_features(clip, MediaBounds(), extractor)
    assert found.per_second().shape == (2, CHANNELS)
    assert found.times_s.tolist() == [0.0, 0.5]
    assert found.mean().shape == (1, CHANNELS)
    assert found.is_silent is None
    assert list(found.modalities) == ["picture"]
    assert extractor.space.rate_hz == 2.0


@pytest.mark.parametrize(("height", "width"), [(48, 96), (96, 48), (20, 300)])
def test_the_largest_middle_is_taken_of_a_picture_of_another_shape(tmp_path: Path, height: int, width: int) -> None:
    extractor = opened(tmp_path, picture_network(sides=("h", "w"), takes_bytes=True), side=SIDE)
    picture = RANDOM.integers(0, 256, (height, width, 3), np.uint8)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = Image.fromarray(picture[top : top + side, left : left + side])
    wanted = np.asarray(middle.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    prepared = extractor.frame_network().prepare(picture).transpose(1, 2, 0)
    assert np.abs(prepared.astype(int) - wanted).max() <= 1


def test_the_space_names_the_file_and_all_that_is_done_before_it(tmp_path: Path) -> None:
    first = opened(tmp_path, picture_network())
    again = opened(tmp_path, picture_network(), scale=1.0)
    assert first.space.weights[0].sha256 == first.records[0].sha256 == file_digest(tmp_path / "mine.onnx")
    assert (first.space.name, first.space.scaling) == ("own", "standard")
    assert first.space != again.space
    assert first.space == opened(tmp_path, picture_network()).space


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (b"no network", {}, r"mine\.onnx is no network that ONNX Runtime can load"),
        (picture_network(inputs=2), {}, r"should have one input, a picture, and has picture \(n, 3, 32, 32\), other 1"),
        (
            picture_network(outputs=("features", "map")),
            {},
            r"the outputs features .*, map .*: name one as `output`",
        ),
        (picture_network(), {"output": "feature"}, r"has no 'feature'\. Did you mean 'features'\? There is features"),
        (picture_network(sides=("h", "w")), {}, r"leaves the size of its pictures open, .*side = 224"),
        (picture_network(), {"side": 64}, r"side: mine\.onnx takes \(n, 3, 32, 32\), and 64 was set"),
        (picture_network(sides=(4, 4)), {}, r"mine\.onnx does not run"),
        (picture_network(sides=(9999, 32)), {}, r"takes pictures of 32x9999: no network for pictures"),
        (picture_network(external="/etc/passwd"), {}, r"is no network that ONNX Runtime can load"),
    ],
    ids=[
        "text",
        "two-inputs",
        "two-outputs",
        "no-such-output",
        "no-size",
        "other-size",
        "too-small",
        "huge",
        "outside",
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    tmp_path: Path, content: bytes, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ReelsiftError, match=message) as error:
        opened(tmp_path, content, **settings)
    assert isinstance(error.value, ConfigError | WeightsError)
    assert "\n" not in str(error.value)


def test_another_file_than_the_table_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"mine\.onnx have sha256 .*, and mine should have 00000"):
        opened(tmp_path, picture_network(), sha256="0" * 64)
