"""The chart of labels over time."""

from pathlib import Path

import pyarrow as pa

from tasks.contracts.media import LabelScore, LabelSegment
from tasks.reports.charts import MOST_COLUMNS, MOST_ROWS, lane_groups, score_chart
from tasks.reports.facts import SCORES
from tests.support.reports import write_labels, write_objects


def table_of(rows: list[tuple[float, int, float]]) -> pa.Table:
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(SCORES.names)}, schema=SCORES)


def test_a_curve_holds_each_score_until_the_next_moment(tmp_path: Path) -> None:
    manifest = write_labels(tmp_path, names=["a"], segments=[], annotate=False)
    chart = score_chart(manifest, table_of([(0.0, 0, 1.0), (1.0, 0, 0.5), (3.0, 0, 0.0)]), 4.0)
    assert chart.times_s == [0.0, 1.0, 3.0]
    assert chart.rows[0].path == "M0 100H0V0H250V50H750V100H1000V100Z"
    assert (chart.rows[0].peak, chart.rows[0].peak_s, chart.rows[0].mean) == (1.0, 0.0, 0.5)


def test_a_label_that_is_not_among_the_best_of_a_moment_has_score_0_there(tmp_path: Path) -> None:
    manifest = write_labels(tmp_path, names=["a", "b"], segments=[], annotate=False)
    chart = score_chart(manifest, table_of([(1.0, 1, 0.4), (0.0, 0, 0.7)]), 2.0)
    assert {row.name: row.values for row in chart.rows} == {"a": [0.7, 0.0], "b": [0.0, 0.4]}


def test_labels_that_hold_longest_come_first_then_the_best_of_the_whole(tmp_path: Path) -> None:
    top = [LabelScore(label_id=number, name=f"label {number}", score=0.5) for number in range(10)]
    segments = [
        LabelSegment(start_s=start_s, end_s=end_s, label_id=number, name=f"label {number}", score=0.9)
        for number, start_s, end_s in [(7, 0, 1), (8, 0, 3), (7, 5, 6)]
    ]
    manifest = write_labels(tmp_path, segments=segments, top=top, annotate=False)
    chart = score_chart(manifest, table_of([(0.0, 8, 0.9)]), 6.0)
    assert [row.name for row in chart.rows[:4]] == ["label 8", "label 7", "label 0", "label 1"]
    assert len(chart.rows) == MOST_ROWS
    assert chart.rows[1].blocks == [(0, 16.67), (83.33, 16.67)]


def test_the_curve_of_two_hours_keeps_its_peaks_in_few_columns(tmp_path: Path) -> None:
    manifest = write_labels(tmp_path, names=["a"], segments=[], annotate=False)
    rows = [(float(second), 0, 1.0 if second == 4321 else 0.1) for second in range(7200)]
    chart = score_chart(manifest, table_of(rows), 7200.0)
    assert len(chart.times_s) == len(chart.rows[0].values) == MOST_COLUMNS
    assert (max(chart.rows[0].values), chart.rows[0].peak_s) == (1.0, 4321.0)


def test_no_moments_make_an_empty_chart(tmp_path: Path) -> None:
    manifest = write_labels(tmp_path, names=["a"], segments=[], annotate=False)
    chart = score_chart(manifest, table_of([]), 1.0)
    assert (chart.times_s, chart.rows[0].path, chart.rows[0].values) == ([], "", [])


def test_lanes_are_grouped_by_class_the_commonest_first(tmp_path: Path) -> None:
    groups = lane_groups(write_objects(tmp_path, tracks=60, annotate=False, thumbnails=False), 6.0)
    assert [(group.title, group.is_open) for group in groups] == [
        ("38 bottles", False),
        ("8 cups", True),
        ("7 people", True),
        ("7 hot dogs", True),
    ]
    assert [len(groups[0].first), len(groups[0].more), groups[0].left_out] == [25, 13, 0]


def test_a_lane_lies_where_its_object_was_seen(tmp_path: Path) -> None:
    lane = lane_groups(write_objects(tmp_path, tracks=2, annotate=False), 6.0)[0].lanes[1]
    assert (lane.left, lane.width, lane.says) == (33.33, 25.0, "bottle 1, 2.0 s to 3.5 s, score 0.80")


def test_the_crowd_is_the_number_at_each_time(tmp_path: Path) -> None:
    crowd = lane_groups(write_objects(tmp_path, tracks=2, annotate=False), 6.0)[0].crowd
    tops = [step.split("h")[0] for step in crowd.removeprefix("M0 1V").removesuffix("V1Z").split("V")]
    assert len(tops) == 200
    # Seen from 0 to 1.5 s and from 2.0 to 3.5 s; nobody in between and afterwards.
    assert [tops[place] for place in (0, 40, 60, 70, 110, 150)] == ["0", "0", "1", "0", "0", "1"]
