"""Clips: which stretches of a video they are, what they are called, and their sheet."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.contracts.errors import UnknownLabelError
from tasks.contracts.files import file_digest
from tasks.contracts.media import FetchedVideo, LabelSegment, TimeRange
from tasks.per_video.clips import SHEET_NAME, chosen_spans, cut_clips, newest_answers
from tasks.video.config import MediaBounds
from tests.support.media import shade_of, shades, write_video
from tests.support.reports import video_record, write_labels, write_objects
from tests.video.test_part import CLOSED

BOUNDS = MediaBounds()


def segment(name: str, start_s: float, end_s: float) -> LabelSegment:
    return LabelSegment(start_s=start_s, end_s=end_s, label_id=len(name), name=name, score=0.9)


def of(sha256: str, part: TimeRange | None = None) -> FetchedVideo:
    return FetchedVideo(source="a", path=Path("a"), sha256=sha256, size_bytes=1, title="a", part=part)


def test_the_newest_answer_about_the_same_content_counts(tmp_path: Path) -> None:
    mine, other = "ab" * 32, "ab" * 4 + "cd" * 28  # whose folders have the same digits
    for place, (name, sha256) in enumerate([("old", mine), ("new", mine), ("other", other)]):
        folder = tmp_path / f"{name}-abababab"
        write_labels(folder, video_record(sha256=sha256), segments=[segment(name, 1, 2)])
        os.utime(folder / "labels.json", (place, place))
    assert newest_answers(tmp_path, of(mine)).names() == ["new"]
    assert newest_answers(tmp_path, of(other)).names() == ["other"]
    assert newest_answers(tmp_path, of("12" * 32)).video is None
    assert newest_answers(tmp_path / "nowhere", of(mine)).video is None
    part = TimeRange(start_s=1.0, end_s=2.0)
    assert newest_answers(tmp_path, of(mine, part)).video is None
    write_labels(tmp_path / "a-abababab-1-2", video_record(part=part), segments=[segment("part", 1, 2)])
    assert newest_answers(tmp_path, of(mine, part)).names() == ["part"]
    assert newest_answers(tmp_path, of(mine)).names() == ["new"]  # of the whole, though that of a part is newer
    write_labels(
        tmp_path / "b-cdcdcdcd-1-2", video_record(sha256="cd" * 32, part=part), segments=[segment("part", 1, 2)]
    )
    assert newest_answers(tmp_path, of("cd" * 32)).names() == ["part"]


def test_stretches_are_of_labels_and_objects_padded_and_joined(tmp_path: Path) -> None:
    folder = tmp_path / "a-abababab"
    write_labels(folder, segments=[segment("Hot cocoa", 0.5, 1), segment("Hot cocoa", 2, 3), segment("tea", 5, 6)])
    answers = newest_answers(tmp_path, of("ab" * 32))
    assert chosen_spans(answers, ["hotcocoa"], 0) == [("Hot cocoa", (0.5, 1)), ("Hot cocoa", (2, 3))]
    assert chosen_spans(answers, ["hot cocoa", "TEA"], 0.75) == [("Hot cocoa", (0, 3.75)), ("tea", (4.25, 6.0))]
    made = write_objects(folder)
    answers = newest_answers(tmp_path, of("ab" * 32))
    cup = next(track for track in made.tracks if track.class_name == "cup")
    assert chosen_spans(answers, ["cup"], 0) == [("cup", (cup.start_s, pytest.approx(cup.end_s + 0.1)))]
    with pytest.raises(
        UnknownLabelError, match=r"No 'teo' was found in it\. Found: Hot cocoa, tea, .*Did you mean 'tea'"
    ):
        chosen_spans(answers, ["teo"], 0)


def test_a_stretch_of_an_instant_is_no_clip(tmp_path: Path) -> None:
    write_labels(
        tmp_path / "a-abababab", segments=[segment("tea", 1, 1), segment("late", 60, 70), segment("cup", 2, 3)]
    )
    answers = newest_answers(tmp_path, of("ab" * 32))
    for label in ("tea", "late"):  # the video lasts six seconds
        with pytest.raises(UnknownLabelError, match=f"No '{label}' was found in it"):
            chosen_spans(answers, [label], 0)
    assert chosen_spans(answers, ["tea"], 0.5) == [("tea", (0.5, 1.5))]


def test_names_that_differ_by_a_sign_are_not_one(tmp_path: Path) -> None:
    write_labels(
        tmp_path / "a-abababab", segments=[segment("C++", 1, 2), segment("C", 3, 4), segment("\U0001f34e", 5, 6)]
    )
    answers = newest_answers(tmp_path, of("ab" * 32))
    assert chosen_spans(answers, ["c", "C", " c"], 0) == [("C", (3, 4))]
    assert chosen_spans(answers, ["c++"], 0) == [("C++", (1, 2))]
    with pytest.raises(UnknownLabelError):
        chosen_spans(answers, ["\U0001f34c"], 0)


def test_clips_are_named_by_label_and_time_and_shown_on_a_sheet(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", shades(36), encoder=CLOSED)
    video = FetchedVideo(source="a", path=path, sha256=file_digest(path), size_bytes=1, title="a")
    spans = [("Hot dog", (1.0, 2.0)), ("caf\u00e9", (2.15, 3.6)), ("Cafe", (2.15, 3.6))]
    clips = cut_clips(video, spans, BOUNDS, tmp_path / "clips", has_gif=True)
    assert [(clip.file, clip.is_copy) for clip in clips] == [
        ("hot-dog-0m01s-0m02s.mp4", True),
        ("cafe-0m02.15s-0m03.6s.mp4", False),
        ("cafe-0m02.15s-0m03.6s-2.mp4", False),
    ]
    names = {path.name for path in (tmp_path / "clips").iterdir() if not path.name.startswith(".")}
    assert names == {SHEET_NAME, *(clip.file for clip in clips), *(str(clip.gif) for clip in clips)}
    sheet = np.asarray(Image.open(tmp_path / "clips" / SHEET_NAME)).astype(int)
    assert [round(sheet[200, left].mean()) for left in (160, 490)] == pytest.approx([shade_of(15), shade_of(28)], abs=3)
