"""The space that needs no download: pictures beside the package's own network, sound beside another library."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from tasks.contracts.errors import VideoError
from tasks.features.batches import FrameNetwork
from tasks.features.efficientnet_network import torch_threads
from tasks.features.extractor import VideoFeatures, read_each, read_features
from tasks.features.shipped import EfficientNetExtractor, prepare
from tasks.features.sound_network import LOWEST_HZ
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tests.support.media import Tone, shades, write_text, write_video

BOUNDS = MediaBounds()
SILENCE_LOG = np.log(0.01)


@pytest.fixture(scope="module")
def opened() -> EfficientNetExtractor:
    return EfficientNetExtractor.open()


def own_features(extractor: EfficientNetExtractor, path: Path) -> np.ndarray:
    """What the package's own network makes of each second's frame, one by one."""
    own = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(extractor.weights)).eval()
    with open_frames(path, BOUNDS, rate_hz=1) as reader, torch.inference_mode():
        rows = []
        for frame in reader:
            pixels = torch.from_numpy(prepare(frame.image).transpose(2, 0, 1).copy()).float()[None]
            rows.append(own._avg_pooling(own.extract_features((pixels - 127) / 128)).flatten().numpy())
    return np.stack(rows)


def bands_by_scipy(samples: np.ndarray) -> np.ndarray:
    """VGGish's log-mel bands of one stretch of sound, as its paper and its own code describe them."""
    import scipy.fft
    import scipy.signal  # a second, which not every process of tests need wait

    starts = range(0, len(samples) - 400 + 1, 160)
    hann = scipy.signal.get_window("hann", 400)
    spectra = [np.asarray(scipy.fft.rfft(samples[start : start + 400] * hann, 512)) for start in starts]
    magnitudes = np.abs(np.array(spectra))
    mel = 1127 * np.log1p(np.arange(257) * 16_000 / 512 / 700)
    lowest, highest = (1127 * float(np.log1p(hertz / 700)) for hertz in (LOWEST_HZ, 7500.0))
    edges = np.linspace(lowest, highest, 66)
    weights = [np.interp(mel, edges[band : band + 3], [0, 1, 0], left=0, right=0) for band in range(64)]
    return np.log(magnitudes @ np.array(weights).T + 0.01)


def test_the_space_says_what_it_is(opened: EfficientNetExtractor) -> None:
    assert opened.space.name == "efficientnet-lite0"
    assert [(each.name, each.size) for each in opened.space.modalities] == [("picture", 1280), ("sound", 128)]
    assert [each.sha256 for each in opened.space.weights] == [each.sha256 for each in opened.records]
    assert opened.records[0].sha256.startswith("57934424")
    assert opened.space.scaling == "standard"


def test_pictures_have_the_features_that_the_package_gives(opened: EfficientNetExtractor, real_data: Path) -> None:
    clip = real_data / "clips" / "CuttingInKitchen" / "v_CuttingInKitchen_g01_c01.avi"
    if not clip.is_file():
        clip = next((real_data / "clips").rglob("*.avi"))
    found = read_features(clip, BOUNDS, opened)
    wanted = own_features(opened, clip)
    np.testing.assert_allclose(found.picture, wanted, atol=1e-4 * np.abs(wanted).max())
    np.testing.assert_allclose(found.mean()[0, :1280], wanted.mean(axis=0), atol=1e-4 * np.abs(wanted).max())
    assert found.modalities["picture"] is found.picture


def test_sound_has_the_mean_and_the_deviation_of_each_band_in_each_second(opened: EfficientNetExtractor) -> None:
    random = np.random.default_rng(0)
    times_s = np.arange(2 * 16_000) / 16_000
    samples = 0.4 * np.sin(2 * np.pi * 700 * times_s * (1 + times_s)) + 0.02 * random.standard_normal(times_s.size)
    found = opened.of_sound(samples.reshape(2, 16_000).astype(np.float32))
    assert found.shape == (2, 128)
    for row, second in zip(found, samples.reshape(2, 16_000), strict=True):
        bands = bands_by_scipy(second)
        np.testing.assert_allclose(row, np.concatenate([bands.mean(axis=0), bands.std(axis=0)]), atol=1e-4)


def test_a_video_with_sound_for_a_part_of_it(opened: EfficientNetExtractor, tmp_path: Path) -> None:
    path = write_video(tmp_path / "early.mp4", shades(36), tone=Tone(duration_s=2.0))
    found = read_features(path, BOUNDS, opened)
    assert found.per_second().shape == (4, 1408)
    assert found.has_sound.tolist() == [True, True, False, False]
    assert found.is_silent is False
    assert not found.sound[2:].any()
    np.testing.assert_allclose(found.mean()[0, 1280:], found.sound[:2].mean(axis=0), rtol=1e-6)
    assert found.mean().dtype == np.float32


def test_a_last_part_of_a_second_is_described_as_it_is_and_not_filled_up(
    opened: EfficientNetExtractor, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "part.mp4", shades(20), tone=Tone(duration_s=1.6))
    found = read_features(path, BOUNDS, opened)
    assert found.has_sound.tolist() == [True, True]
    loudest = found.sound[0, :64].argmax()
    np.testing.assert_allclose(found.sound[1, loudest], found.sound[0, loudest], atol=0.7)  # silence would be far below
    assert found.sound[0, loudest] - SILENCE_LOG > 3


@pytest.mark.parametrize("tone", [None, Tone(duration_s=2.0, frequency_hz=0.0)], ids=["no-track", "a-silent-track"])
def test_a_video_without_sound_is_flagged(opened: EfficientNetExtractor, tone: Tone | None, tmp_path: Path) -> None:
    found = read_features(write_video(tmp_path / "hush.mp4", shades(20), tone=tone), BOUNDS, opened)
    assert found.is_silent
    assert found.has_sound.tolist() == [tone is not None] * 2
    # Nothing was looked at, or what silence is in every band, with no deviation.
    wanted = np.zeros(128) if tone is None else np.repeat([SILENCE_LOG, 0], 64)
    np.testing.assert_allclose(found.mean()[0, 1280:], wanted, atol=0.05)


def test_pictures_and_sound_are_worked_on_at_the_same_time(opened: EfficientNetExtractor, tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=20)

    class Meeting(EfficientNetExtractor):
        def frame_network(self) -> FrameNetwork:
            together.wait()
            return super().frame_network()

        def of_sound(self, windows: np.ndarray) -> np.ndarray:
            together.wait()  # would time out if one came after the other
            return super().of_sound(windows)

    path = write_video(tmp_path / "one.mp4", shades(10), tone=Tone(duration_s=1.0))
    assert read_features(path, BOUNDS, Meeting(opened.weights)).has_sound.all()


@pytest.mark.parametrize("at_once", [1, 2])
def test_videos_are_read_at_once_and_come_in_order_with_what_is_wrong_with_them(
    opened: EfficientNetExtractor, at_once: int, tmp_path: Path
) -> None:
    first, last = (write_video(tmp_path / name, shades(count)) for name, count in (("a.mp4", 20), ("c.mp4", 10)))
    text = write_text(tmp_path / "text.mp4")
    found = list(read_each(iter([first, text, last]), BOUNDS, opened, at_once=at_once))
    assert [path for path, _ in found] == [first, text, last]
    alone = read_features(first, BOUNDS, opened)
    assert isinstance(found[0][1], VideoFeatures)
    np.testing.assert_allclose(found[0][1].per_second(), alone.per_second(), atol=1e-5)
    assert isinstance(found[1][1], VideoError)
    assert "text.mp4" in str(found[1][1])
    assert isinstance(found[2][1], VideoFeatures)


def test_threads_of_one_core_each_leave_the_others_their_cores() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        threads = torch_threads("cpu")
        assert list(threads.map(lambda _: torch.get_num_threads(), range(4))) == [1] * 4
        assert torch.get_num_threads() == 2
        assert torch_threads("cuda")._pool is None
    finally:
        torch.set_num_threads(before)
