"""The clips that the demonstration trains on, keeps back and makes, and the weights that it offers to fetch."""

from pathlib import Path

import pytest

from reelsift import demo, demo_clips
from reelsift.demo_clips import MOST_CLIPS, _made_clips, find_clips, hold_back
from reelsift.session import Session
from tasks.imports.table import ClipTable, LabelledClip, read_clips
from tasks.video.config import MediaBounds
from tasks.video.probe import probe
from tasks.weights.config import NEEDED_WEIGHTS
from tests.support.mirror_server import MirrorServer


def table(*clips: tuple[str, str, str | None, str | None]) -> ClipTable:
    """A table of source, label, side and group; no file is there."""
    rows = [
        LabelledClip(f"line {number}", source, source, (label,), side, group)
        for number, (source, label, side, group) in enumerate(clips, start=2)
    ]
    return ClipTable(Path("clips.csv"), tuple(rows))


def sources(clips: tuple[LabelledClip, ...]) -> set[str]:
    return {clip.source for clip in clips}


def test_a_group_that_is_held_back_is_seen_by_no_training() -> None:
    given = table(
        *((f"a{number}.mp4", "a", "validate" if number > 3 else "train", f"g{number // 2}") for number in range(8)),
        *((f"b{number}.mp4", "b", "validate" if number > 3 else "train", f"g{number // 2}") for number in range(8)),
    )
    kept, held = hold_back(given, 4)
    # Of b, a second group of those to be judged on would leave none of them.
    assert [(clip.labels[0], clip.side) for clip in held] == [("a", "validate"), ("b", "train")]
    assert sources(kept) == {clip.source for clip in given.clips if clip.group not in {each.group for each in held}}


def test_a_file_that_is_there_twice_is_of_one_group(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number in range(4):
            (tmp_path / label / f"{number}.mp4").write_text(f"{label} {number or 3}")  # 0 is 3
    kept, held = hold_back(read_clips(tmp_path), 2)
    assert [Path(clip.source).relative_to(tmp_path).as_posix() for clip in held] == ["a/0.mp4", "b/0.mp4"]
    assert {Path(clip.source).name for clip in kept} == {"1.mp4", "2.mp4"}
    assert len({clip.group for clip in kept}) == 4


@pytest.mark.parametrize(
    ("clips", "held"),
    [
        pytest.param([("a", 5), ("b", 5), ("c", 1)], ["a", "b"], id="a-class-too-small"),
        pytest.param([("a", 9), ("b", 1)], [], id="one-class"),
        pytest.param([("a", 4), ("b", 4)], [], id="too-few-to-learn-from"),
        pytest.param([("a", 9), ("b", 2)], ["a"], id="too-few-to-hold-back"),
        pytest.param([(f"c{n:02}", 3) for n in range(30)], [f"c{n:02}" for n in range(5)], id="many-classes"),
        pytest.param([("a", 400), ("b", 3)], ["a", "b"], id="many-clips"),
    ],
)
def test_what_is_held_back_leaves_enough_to_learn_from(clips: list[tuple[str, int]], held: list[str]) -> None:
    given = table(*((f"{label}{n}.mp4", label, None, None) for label, count in clips for n in range(count)))
    kept, kept_back = hold_back(given, 5)
    assert [clip.labels[0] for clip in kept_back] == held
    assert len(kept) <= MOST_CLIPS
    sides = {(clip.labels[0], clip.side) for clip in kept}
    assert sides == {(label, side) for label, _ in sides for side in ("train", "validate")}
    assert not sources(kept) & sources(kept_back)


def test_clips_are_made_once_of_all_classes_and_say_that_they_are_synthetic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_clips, "EACH", 2)
    made = _made_clips(tmp_path)
    assert (made.is_synthetic, "SYNTHETIC" in made.what) == (True, True)
    assert [clip.labels[0] for clip in made.held_back] == ["astronaut", "cat", "coffee", "motorcycle", "rocket"]
    assert not sources(made.clips) & sources(made.held_back)
    facts = probe(Path(made.held_back[0].source), MediaBounds())
    assert (facts.width, facts.height, facts.duration_s) == (256, 192, pytest.approx(3.0, abs=0.2))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    assert len(files) == len(made.clips) + len(made.held_back)
    assert len({path.read_bytes() for path in files}) == len(files)
    assert _made_clips(tmp_path) == made
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")} == files


def test_clips_beside_the_checkout_are_taken_where_none_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        (tmp_path / "beside" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "beside" / "ab"[number % 2] / f"{number}.mp4").write_text(str(number))
    session = Session(home=str(tmp_path / "home"))
    found = find_clips(session, tmp_path / "beside")
    assert (found.name, len(found.clips), found.is_synthetic) == ("demo-beside", 8, False)
    (tmp_path / "mine.csv").write_text("path,label\n" + "".join(f"{n}.mp4,{'ab'[n % 2]}\n" for n in range(10)))
    monkeypatch.setenv("REELSIFT_CLIPS", str(tmp_path / "mine.csv"))
    assert find_clips(Session(home=str(tmp_path / "home")), tmp_path / "beside").name == "demo-mine"


def test_weights_are_offered_once_where_they_can_be_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served, lines = tmp_path / "served", []
    served.mkdir()
    for name in NEEDED_WEIGHTS:
        (served / name).write_bytes(name.encode())
    with MirrorServer(served) as server:
        for name in NEEDED_WEIGHTS:
            entry = {"file_name": f"{name}.bin", "urls": [f"{server.url}/{name}"], "size_bytes": len(name)}
            lines += [f"[weight_files.{name}]", *(f"{key} = {value!r}" for key, value in entry.items())]
        (tmp_path / "here.toml").write_text("\n".join(lines))
        session = Session(config=tmp_path / "here.toml", home=str(tmp_path / "home"))
        monkeypatch.setattr(demo, "_is_public_reachable", lambda _: False)
        assert "their hosts cannot be reached" in str(demo.offer_weights(session, yes=True))
        monkeypatch.setattr(demo, "_is_public_reachable", lambda _: True)
        assert str(demo.offer_weights(session, yes=False)).startswith("the weights of its features, 79 B, are not here")
        assert "need 6 files of weights, 79 B, from 127.0.0.1" in capsys.readouterr().err
        assert demo.offer_weights(session, yes=True) is None
    assert demo.offer_weights(session, yes=False) is None  # they are here
    assert len(list((tmp_path / "home" / "weights").glob("*.bin"))) == len(NEEDED_WEIGHTS)
