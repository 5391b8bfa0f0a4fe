"""What was found, in words."""

from pathlib import Path

import pytest

from tasks.contracts.media import LabelScore, LabelSegment
from tasks.reports.words import (
    counted,
    labels_in_words,
    leading_runs,
    objects_in_words,
    percent,
    plural,
    shown,
    size,
    span,
    ticks,
    timestamp,
)
from tests.support.reports import video_record, write_labels, write_objects


def held(name: str, start_s: float, end_s: float, score: float = 0.9) -> LabelSegment:
    return LabelSegment(start_s=start_s, end_s=end_s, label_id=ord(name[0]), name=name, score=score)


@pytest.mark.parametrize(
    ("segments", "runs"),
    [
        pytest.param([], [], id="none"),
        pytest.param([held("a", 0, 2), held("b", 2, 4)], [("a", 0, 2), ("b", 2, 4)], id="one after the other"),
        pytest.param([held("a", 0, 4), held("b", 1, 2, 0.5)], [("a", 0, 4)], id="a weaker one within"),
        pytest.param(
            [held("a", 0, 4, 0.5), held("b", 1, 2)], [("a", 0, 1), ("b", 1, 2), ("a", 2, 4)], id="a surer one within"
        ),
        pytest.param([held("a", 0, 1), held("a", 3, 4)], [("a", 0, 1), ("a", 3, 4)], id="a gap"),
        pytest.param([held("a", 0, 2), held("a", 2, 4)], [("a", 0, 4)], id="no gap"),
        pytest.param([held("a", 2, 2)], [], id="of no length"),
    ],
)
def test_the_surest_label_leads(segments: list[LabelSegment], runs: list[tuple[str, float, float]]) -> None:
    assert leading_runs(segments) == runs


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        pytest.param([held("a", 0, 6)], "a (0–6 s).", id="one all the time"),  # noqa: RUF001
        pytest.param(
            [held("a", 0, 4.5), held("b", 4.5, 6)],
            "Mostly a (0–4.5 s), then b (4.5–6 s).",  # noqa: RUF001
            id="one for the most part",
        ),
        pytest.param(
            [held("a", 0, 1), held("b", 1, 6)],
            "Mostly b: a (0–1 s), then b (1–6 s).",  # noqa: RUF001
            id="a later one for the most part",
        ),
        pytest.param([], "No label holds for long enough; as a whole, at best x (0.40), or y (0.20).", id="none"),
        pytest.param([held("a", 2, 2)], "No label holds for long enough; as a whole, at best x (0.40), or y (0.20).",
                     id="none of any length"),
    ],
)  # fmt: skip
def test_labels_in_words(segments: list[LabelSegment], words: str, tmp_path: Path) -> None:
    top = (LabelScore(label_id=1, name="x", score=0.4), LabelScore(label_id=2, name="y", score=0.2))
    assert labels_in_words(write_labels(tmp_path, segments=segments, top=top, annotate=False)) == words


def test_many_changes_are_counted(tmp_path: Path) -> None:
    changing = [held("ab"[number % 2], 0.5 * number, 0.5 * number + 0.5) for number in range(12)]
    words = labels_in_words(write_labels(tmp_path, segments=changing, annotate=False))
    assert words.endswith("then b (2.5–3 s), and 6 more changes.")  # noqa: RUF001


def test_objects_of_a_long_video_have_minutes(tmp_path: Path) -> None:
    record = video_record()
    longer = record.model_copy(update={"media": record.media.model_copy(update={"duration_s": 120.0})})
    assert objects_in_words(write_objects(tmp_path, longer, tracks=1, annotate=False)) == "1 bottle, from 0:00 to 0:01."


def test_the_objects_of_a_picture_have_no_time(tmp_path: Path) -> None:
    assert objects_in_words(write_objects(tmp_path, video_record("picture"), tracks=6)) == (
        "4 bottles; 1 cup; 1 person."
    )


@pytest.mark.parametrize(
    ("name", "many"),
    [
        ("bottle", "bottles"), ("person", "people"), ("bus", "buses"), ("wine glass", "wine glasses"),
        ("couch", "couches"),
        ("toothbrush", "toothbrushes"), ("knife", "knives"), ("sheep", "sheep"), ("mouse", "mice"),
    ],
)  # fmt: skip
def test_plurals(name: str, many: str) -> None:
    assert plural(name) == many
    assert (counted(1, name), counted(1234, name)) == (f"1 {name}", f"1,234 {many}")


@pytest.mark.parametrize(
    ("time_s", "whole_s", "words"),
    [(9.46, 20, "9.5 s"), (9.46, 60, "0:09"), (75, 90, "1:15"), (75, 4000, "0:01:15"), (3675, 4000, "1:01:15")],
)
def test_moments(time_s: float, whole_s: float, words: str) -> None:
    assert timestamp(time_s, whole_s) == words


def test_spans() -> None:
    assert [span(0, 1.5, 20), span(5, 75, 90)] == ["0–1.5 s", "0:05–1:15"]  # noqa: RUF001


@pytest.mark.parametrize("whole_s", [0.1, 1, 6, 18.8, 59.9, 61, 600, 7200, 86_400, 1e9])
def test_an_axis_has_few_ticks_within_it(whole_s: float) -> None:
    places = [place for place, _ in ticks(whole_s)]
    assert 1 <= len(places) <= 8
    assert places[0] == 0
    assert places == sorted(set(places))
    assert places[-1] <= 100


def test_places_stay_on_the_axis() -> None:
    assert [percent(time_s, 10) for time_s in (-1, 0, 2.5, 10, 11)] == [0, 0, 25, 100, 100]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("  a\n\tb  ", "a b", id="one line"),
        pytest.param("a\x00\x1b[31mb", "ab", id="control characters"),
        pytest.param("a\u202eb\u2066c", "abc", id="turned direction"),
        pytest.param("a\ud800b", "ab", id="half a character"),
        pytest.param("👩\u200d🍳", "👩\u200d🍳", id="joined emoji"),
        pytest.param("x" * 400, "x" * 299 + "…", id="too long"),
    ],
)
def test_text_is_shown_on_one_line(text: str, line: str) -> None:
    assert shown(text) == line


@pytest.mark.parametrize(
    ("size_bytes", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_700, "1.0 MB"), (5e15, "5000.0 TB")]
)
def test_sizes(size_bytes: float, words: str) -> None:
    assert size(size_bytes) == words
