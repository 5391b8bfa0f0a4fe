"""The features of small real videos, second by second."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts.errors import VideoError
from tasks.contracts.features import YT8M
from tasks.contracts.media import MediaFacts
from tasks.features.extractor import VideoFeatures, read_features
from tasks.features.shipped import MEAN_SECONDS, Yt8mExtractor
from tasks.features.sound_network import EXAMPLE_SAMPLES
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.video.sound import read_sound
from tests.shards.conftest import Heard
from tests.support.media import Tone, shades, write_sound, write_text, write_video

BOUNDS = MediaBounds()


@pytest.fixture
def food(real_data: Path) -> Path:
    return real_data / "media" / "videos" / "food_mix_with_audio.mp4"


def test_each_second_has_the_features_of_its_frame_and_its_sound(food: Path, extractor: Yt8mExtractor) -> None:
    found = read_features(food, BOUNDS, extractor)
    assert found.picture.shape == (19, 1024)
    assert found.sound.shape == (19, 128)
    assert found.per_second().shape == (19, 1152)
    assert not found.is_silent
    with open_frames(food, BOUNDS, rate_hz=1) as reader:
        frames = [frame.image for frame in reader]
    np.testing.assert_array_equal(found.picture[7], extractor.of_frames([frames[7]])[0])
    sound = np.concatenate(list(read_sound(food, BOUNDS)))
    window = sound[7 * 16_000 : 7 * 16_000 + EXAMPLE_SAMPLES]
    np.testing.assert_allclose(found.sound[7], extractor.of_sound(window[None])[0], atol=0.03)
    np.testing.assert_allclose(found.mean()[0, :1024], found.picture.mean(axis=0), rtol=1e-5)
    assert found.has_sound.all()  # the last .8 s are filled up


def test_a_silent_video_is_flagged_and_its_sound_is_zero_not_byte_zero(
    real_data: Path, extractor: Yt8mExtractor
) -> None:
    found = read_features(real_data / "media" / "videos" / "bottle-detection.mp4", BOUNDS, extractor)
    assert found.is_silent
    assert found.picture.shape == (40, 1024)
    assert not found.mean()[0, 1024:].any()
    assert found.mean()[0, :1024].any()


def test_a_picture_has_one_second(real_data: Path, extractor: Yt8mExtractor) -> None:
    found = read_features(real_data / "media" / "images" / "coffee.png", BOUNDS, extractor)
    assert found.per_second().shape == (1, 1152)
    assert found.is_silent


def test_sound_that_ends_early_leaves_the_mean_to_the_seconds_that_have_some(
    tmp_path: Path, extractor: Yt8mExtractor
) -> None:
    path = write_video(tmp_path / "early.mp4", shades(36), tone=Tone(duration_s=2.0))
    found = read_features(path, BOUNDS, extractor)
    assert found.times_s.tolist() == [0, 1, 2, 3]
    assert found.has_sound.tolist() == [True, True, False, False]
    assert not found.sound[2:].any()
    assert not found.is_silent
    np.testing.assert_allclose(found.mean()[0, 1024:], found.sound[:2].mean(axis=0), rtol=1e-6)


def test_sound_that_goes_on_after_the_pictures_is_left_out(tmp_path: Path, extractor: Yt8mExtractor) -> None:
    found = read_features(write_video(tmp_path / "late.mp4", tone=Tone(duration_s=4.0)), BOUNDS, extractor)
    assert found.per_second().shape == (1, 1152)


def test_a_track_in_which_nothing_is_heard_is_flagged_but_goes_through_the_network(
    tmp_path: Path, extractor: Yt8mExtractor
) -> None:
    path = write_video(tmp_path / "hush.mp4", shades(20), tone=Tone(duration_s=2.0, frequency_hz=0.0))
    found = read_features(path, BOUNDS, extractor)
    assert found.is_silent
    assert found.has_sound.all()
    of_silence = extractor.of_sound(np.zeros((1, EXAMPLE_SAMPLES), np.float32))[0]
    np.testing.assert_allclose(found.sound[0], of_silence, atol=0.03)


def test_the_mean_is_of_the_first_six_minutes_as_the_dataset_s_are() -> None:
    seconds = MEAN_SECONDS + 40
    rgb = np.repeat(np.arange(seconds) >= MEAN_SECONDS, 1024).reshape(seconds, 1024).astype(np.float32)
    features = VideoFeatures(
        times_s=np.arange(seconds, dtype=np.float64),
        space=YT8M,
        picture=rgb,
        sound=rgb[:, :128],
        has_sound=np.ones(seconds, np.bool_),
        is_silent=False,
        facts=MediaFacts(
            kind="video", width=2, height=2, duration_s=seconds, frame_rate=1, codec="h264", has_sound=True
        ),
        frames_read=seconds,
        corrupt_frames=0,
        mean_s=MEAN_SECONDS,
    )
    assert features.mean().shape == (1, 1152)
    assert not features.mean().any()
    assert features.per_second()[-1].all()


def test_progress_is_told_in_seconds_of_the_video(tmp_path: Path, extractor: Yt8mExtractor) -> None:
    heard = Heard()
    read_features(write_video(tmp_path / "told.mp4", shades(24), tone=Tone(2.4)), BOUNDS, extractor, heard)
    assert heard.done["features of told.mp4"] == pytest.approx(2.4)
    assert heard.done["sound of told.mp4"] == 2


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(write_text, "text.mp4", id="text"),
        pytest.param(write_sound, "only sound", id="sound-alone"),
    ],
)
def test_what_is_no_video_is_refused(
    tmp_path: Path, extractor: Yt8mExtractor, write: Callable[[Path], Path], message: str
) -> None:
    with pytest.raises(VideoError, match=message):
        read_features(write(tmp_path / "text.mp4"), BOUNDS, extractor)
