"""Parts cut out of a video: their pictures, how long they last, and their sound."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tasks.contracts.media import TimeRange
from tasks.video.config import MediaBounds
from tasks.video.frames import open_frames
from tasks.video.probe import probe
from tasks.video.sound import SAMPLE_RATE_HZ, read_sound
from tasks.video.writing import cut_out, write_gif
from tests.support.media import Tone, number_of, shades, write_video
from tests.video.test_part import CLOSED, FRAMES, OPEN

BOUNDS = MediaBounds()


def packets(path: Path) -> set[bytes]:
    with av.open(str(path)) as container:
        return {bytes(packet) for packet in container.demux(video=0) if packet.size}


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize(
    ("start_s", "end_s", "numbers", "is_copy"),
    [
        pytest.param(1.0, 3.0, range(10, 30), True, id="from key frame to key frame"),
        pytest.param(2.0, 3.6, range(20, 36), True, id="from a key frame to the end"),
        pytest.param(0.0, 1.0, range(10), True, id="from the beginning"),
        pytest.param(0.0, 60.0, range(36), True, id="all of it"),
        pytest.param(1.3, 2.2, range(13, 22), False, id="between key frames"),
        pytest.param(1.0, 2.2, range(10, 22), False, id="to a frame that others need"),
        pytest.param(1.3, 3.0, range(13, 30), False, id="from a frame that needs others"),
    ],
)
def test_a_part_is_copied_between_key_frames_and_else_encoded(
    tmp_path: Path, name: str, start_s: float, end_s: float, numbers: range, is_copy: bool
) -> None:
    source = write_video(tmp_path / name, shades(FRAMES), encoder=CLOSED, tone=Tone(3.6))
    target = tmp_path / "cut.mp4"
    assert cut_out(source, BOUNDS, TimeRange(start_s=start_s, end_s=end_s), target) is is_copy
    with open_frames(target, BOUNDS) as reader:
        found = [(number_of(frame.image), frame.time_s) for frame in reader]
    assert [number for number, _ in found] == list(numbers)
    assert [time_s for _, time_s in found] == pytest.approx([place / 10 for place in range(len(numbers))], abs=2e-3)
    assert probe(target, BOUNDS).duration_s == pytest.approx(len(numbers) / 10, abs=0.01)
    assert bool(packets(target) & packets(source)) is is_copy
    samples = np.concatenate(list(read_sound(target, BOUNDS)))
    assert len(samples) / SAMPLE_RATE_HZ == pytest.approx(len(numbers) / 10, abs=0.08)
    assert np.abs(samples[SAMPLE_RATE_HZ // 4 : SAMPLE_RATE_HZ // 2]).max() > 0.3


@pytest.mark.parametrize(
    ("name", "encoder", "rotation_deg"),
    [
        pytest.param("open.mp4", OPEN, 0, id="frames before a key frame come after it"),
        pytest.param("turned.mp4", CLOSED, 90, id="turned"),
        pytest.param("clip.ts", CLOSED, 0, id="no index"),
    ],
)
def test_what_could_not_be_copied_whole_is_encoded(
    tmp_path: Path, name: str, encoder: dict[str, str], rotation_deg: int
) -> None:
    source = write_video(tmp_path / name, shades(FRAMES), encoder=encoder, rotation_deg=rotation_deg)
    assert not cut_out(source, BOUNDS, TimeRange(start_s=1.0, end_s=2.0), tmp_path / "cut.mp4")
    with open_frames(tmp_path / "cut.mp4", BOUNDS) as reader:
        frames = list(reader)
    assert [number_of(frame.image) for frame in frames] == list(range(10, 20))
    assert frames[0].image.shape[:2] == ((64, 48) if rotation_deg else (48, 64))


def test_a_gif_has_ten_pictures_a_second_of_the_part(tmp_path: Path) -> None:
    source = write_video(tmp_path / "clip.mp4", shades(FRAMES, 960, 540), encoder=CLOSED)
    write_gif(source, BOUNDS, TimeRange(start_s=2.5, end_s=3.1), tmp_path / "cut.gif")
    with Image.open(tmp_path / "cut.gif") as gif:
        assert (gif.size, gif.info["duration"], gif.info["loop"]) == ((480, 270), 100, 0)
        shown = []
        for number in range(6):
            gif.seek(number)
            shown.append(number_of(np.asarray(gif.convert("RGB"))))
        with pytest.raises(EOFError):
            gif.seek(6)
    assert shown == list(range(25, 31))
