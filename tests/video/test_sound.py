"""Sound: mono, 16 kHz, and in step with the pictures."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.contracts.errors import VideoError
from tasks.video.config import MediaBounds
from tasks.video.sound import SAMPLE_RATE_HZ, read_sound
from tests.support.media import Tone, shades, spoil_packets, truncate, write_sound, write_text, write_video
from tests.support.peak_memory import IS_COUNTED, forget_peak, peak_mb

BOUNDS = MediaBounds()
LOUD = 0.1  # the tones are five times louder


def sound_of(path: Path, bounds: MediaBounds = BOUNDS) -> NDArray[np.float32]:
    return np.concatenate([np.zeros(0, np.float32), *read_sound(path, bounds)])


def heard_s(samples: NDArray[np.float32]) -> tuple[float, float]:
    """Return when sound is heard first and last, in seconds."""
    loud = np.flatnonzero(np.abs(samples) > LOUD)
    return loud[0] / SAMPLE_RATE_HZ, loud[-1] / SAMPLE_RATE_HZ


@pytest.mark.parametrize(
    ("name", "tone"),
    [
        pytest.param("clip.mp4", Tone(2.0), id="aac, stereo, 44.1 kHz"),
        pytest.param("clip.mp4", Tone(2.0, layout="mono", rate_hz=16_000), id="aac, mono, 16 kHz"),
        pytest.param("clip.mkv", Tone(2.0, codec="ac3", layout="5.1", rate_hz=48_000), id="ac3, 5.1"),
        pytest.param("clip.webm", Tone(2.0, codec="libopus", rate_hz=48_000), id="opus"),
        pytest.param("clip.mov", Tone(2.0, codec="pcm_s16le", rate_hz=8_000), id="pcm, 8 kHz"),
        pytest.param("clip.mkv", Tone(2.0, codec="flac", rate_hz=96_000), id="flac, 96 kHz"),
    ],
)
def test_any_sound_becomes_mono_at_16_khz(tmp_path: Path, name: str, tone: Tone) -> None:
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    samples = sound_of(write_video(tmp_path / name, shades(20), codec=codec, tone=tone))
    assert samples.dtype == np.float32
    assert len(samples) / SAMPLE_RATE_HZ == pytest.approx(2.0, abs=0.05)
    assert heard_s(samples) == pytest.approx((0.0, 2.0), abs=0.03)
    middle = samples[SAMPLE_RATE_HZ // 2 : SAMPLE_RATE_HZ]
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.06)  # channels that say the same are not added up
    crossings = np.count_nonzero(np.diff(np.signbit(middle)))
    assert crossings / 2 / 0.5 == pytest.approx(tone.frequency_hz, rel=0.02)


@pytest.mark.parametrize(
    ("pictures_s", "sound_s", "first_s"),
    [
        pytest.param(0.0, 0.5, 0.5, id="sound comes later"),
        pytest.param(1.0, 0.0, 0.0, id="sound comes earlier: its beginning is left out"),
        pytest.param(1.0, 1.25, 0.25, id="both come late"),
    ],
)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts", "clip.mkv"])
def test_sample_0_is_heard_when_the_first_picture_is_shown(
    tmp_path: Path, name: str, pictures_s: float, sound_s: float, first_s: float
) -> None:
    clip = write_video(tmp_path / name, start_s=pictures_s, tone=Tone(3.0, start_s=sound_s))
    assert heard_s(sound_of(clip)) == pytest.approx((first_s, sound_s - pictures_s + 3.0), abs=0.03)


def test_blocks(tmp_path: Path) -> None:
    blocks = list(read_sound(write_video(tmp_path / "clip.mp4", tone=Tone(2.5)), BOUNDS, block_s=1.0))
    assert [len(block) for block in blocks[:-1]] == [SAMPLE_RATE_HZ] * 2
    assert len(blocks[-1]) <= SAMPLE_RATE_HZ


def test_a_file_of_sound_alone_has_sound(tmp_path: Path) -> None:
    assert heard_s(sound_of(write_sound(tmp_path / "song.mp4"))) == pytest.approx((0, 1), abs=0.03)


def test_a_silent_video(tmp_path: Path) -> None:
    assert list(read_sound(write_video(tmp_path / "clip.mp4"), BOUNDS)) == []


def test_sound_that_cannot_be_decoded_is_none(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", tone=Tone(codec="flac"))
    clip.write_bytes(clip.read_bytes().replace(b"A_FLAC", b"A_FLOP"))
    assert list(read_sound(clip, BOUNDS)) == []


def test_what_is_broken_becomes_silence_and_the_rest_stays_in_its_place(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mov", shades(30), tone=Tone(3.0, codec="libmp3lame", frequency_hz=300))
    whole = sound_of(clip)
    spoilt = sound_of(spoil_packets(clip, range(40, 60), "audio"))
    assert len(spoilt) == pytest.approx(len(whole), abs=2000)
    end = slice(int(2.2 * SAMPLE_RATE_HZ), int(2.8 * SAMPLE_RATE_HZ))
    assert np.abs(whole[end] - spoilt[end]).mean() < 0.05


def test_no_more_than_the_bounds_allow(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", tone=Tone(3.0))
    assert len(sound_of(clip, MediaBounds(longest_s=1.5))) == 1.5 * SAMPLE_RATE_HZ


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    clip = truncate(write_video(tmp_path / "clip.mkv", shades(30), tone=Tone(3.0, codec="flac")), 0.6)
    assert 0.5 < len(sound_of(clip)) / SAMPLE_RATE_HZ < 3


def test_text_is_no_sound(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="plain text"):
        sound_of(write_text(tmp_path / "clip.mp4"))


@pytest.mark.skipif(not IS_COUNTED, reason="the system does not count so")
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    clip = write_sound(tmp_path / "long.wav", Tone(600.0, codec="pcm_s16le", layout="mono", rate_hz=16_000))
    blocks = read_sound(clip, BOUNDS, block_s=5.0)
    next(blocks)
    before_mb = forget_peak()
    assert sum(len(block) for block in blocks) == 595 * SAMPLE_RATE_HZ
    assert peak_mb() - before_mb < 16  # all of it is 38 MB


def test_real_sound(real_data: Path) -> None:
    samples = sound_of(real_data / "media" / "videos" / "bigbuckbunny.mp4")
    assert len(samples) / SAMPLE_RATE_HZ == pytest.approx(5.312, abs=0.02)
    assert np.abs(samples).max() > LOUD / 2
