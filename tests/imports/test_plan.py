"""Which clips make up a dataset, and on which side each is."""

import random
from collections import defaultdict
from pathlib import Path

import pytest

from tasks.contracts.datasets import DropReason, ShardTally
from tasks.contracts.errors import DatasetError
from tasks.imports.plan import ImportPlan, plan_import
from tasks.imports.table import ClipTable, LabelledClip


def clips(*rows: str) -> ClipTable:
    """Make clips of `source label`, or of `source label side`, or of `source label side group`; `-` is none."""
    found = list[LabelledClip]()
    for number, row in enumerate(rows, start=2):
        source, label, side, group, *_ = [None if word == "-" else word for word in f"{row} - -".split()]
        labels = tuple(str(label).split("|"))
        found.append(LabelledClip(f"line {number}", f"/{source}", str(source), labels, side, group))
    return ClipTable(Path("clips.csv"), tuple(found))


def planned(table: ClipTable, **contents: str | None) -> ImportPlan:
    """Plan where each file has the content of its name, but for those that are said."""
    known = {clip.named: f"{hash_of(clip.named)}" for clip in table.clips} | contents
    return plan_import(table, {clip.source: known[clip.named] for clip in table.clips}, {"/gone": "no such file"})


def hash_of(text: str) -> str:
    return random.Random(text).randbytes(32).hex()


def sides(plan: ImportPlan) -> dict[str, str]:
    return {each.clip.named: each.side for each in plan.used}


MANY = [f"{label}{number} {label}" for label in "abc" for number in range(40)]


def test_the_given_sides_are_kept() -> None:
    plan = planned(clips("1 a train", "2 a validate", "3 b train", "4 b validate"))
    assert sides(plan) == {"1": "train", "2": "validate", "3": "train", "4": "validate"}
    assert plan.label_names == ("a", "b")
    assert [each.tally.partition for each in plan.clips] == ["import/train", "import/validate"] * 2


def test_chosen_sides_have_about_a_fifth_of_each_class_and_do_not_move() -> None:
    chosen = sides(planned(clips(*MANY)))
    held_out = defaultdict[str, int](int)
    for name, side in chosen.items():
        held_out[name[0]] += side == "validate"
    assert all(2 <= held_out[label] <= 16 for label in "abc")
    assert sides(planned(clips(*reversed(MANY)))) == chosen
    for number in range(200, 260):
        more = sides(planned(clips(*MANY, f"a{number} a")))
        assert {name: side for name, side in more.items() if name in chosen} == chosen
    fewer = sides(planned(clips(*MANY[1:])))
    assert fewer == {name: side for name, side in chosen.items() if name != "a0"}


@pytest.mark.parametrize("seed", range(40))
def test_small_classes_are_on_both_sides_and_one_more_moves_one_at_most(seed: int) -> None:
    rows = [f"{seed}{label}{number} {label}" for label in "ab" for number in range(2 + seed % 4)]
    chosen = sides(planned(clips(*rows)))
    for label in "ab":
        assert {side for name, side in chosen.items() if label in name} == {"train", "validate"}
    more = sides(planned(clips(*rows, f"{seed}anew a")))
    assert sum(more[name] != side for name, side in chosen.items()) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_a_class_is_on_both_sides_whichever_of_its_videos_is_broken(seed: int) -> None:
    """Also where it was the only one to judge on: the sides are those of a table without it."""
    rows = [f"{seed}{label}{number} {label}" for label in "ab" for number in range(3)]
    for broken in range(6):
        left = planned(clips(*rows)).without({broken: DropReason.BROKEN_VIDEO}, {})
        assert sides(left) == sides(planned(clips(*rows[:broken], *rows[broken + 1 :])))
        for label in "ab":
            assert {side for name, side in sides(left).items() if label in name} == {"train", "validate"}


def test_a_group_or_a_file_is_never_on_both_sides() -> None:
    rows = [f"v{number} {'ab'[number % 2]} - g{number // 4}" for number in range(80)]
    plan = planned(clips(*rows), v0=hash_of("same"), v78=hash_of("same"))
    by_group = defaultdict[str, set[str]](set)
    for each in plan.used:
        by_group[str(each.clip.group)].add(each.side)
    assert {len(found) for found in by_group.values()} == {1}
    assert sides(plan)["v0"] == sides(plan)["v76"]  # v78, of the group of v76, is the file v0
    with pytest.raises(DatasetError, match="the group 'g' is on both sides: train on line 2, validate on line 5"):
        planned(clips("1 a train g", "2 a validate h", "3 b train i", "4 b validate g"))
    with pytest.raises(DatasetError, match="the video 3 is on both sides: validate on line 3, train on line 4"):
        planned(clips("1 b train", "2 a validate", "3 a train", "4 b validate"), **{"2": "s", "3": "s"})


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param(["1 a", "2 a"], "all 2 videos have the label 'a'", id="one-class"),
        pytest.param(["1 a", "1 b"], "line 3: 1 is labelled 'b', and 'a' on line 2", id="two-labels"),
        pytest.param(["1 a train", "2 b"], "line 3 has no split, and line 2 has one", id="half-split"),
        pytest.param(["1 a", "2 a", "3 b"], "the class 'b' has no video to learn from, as it needs", id="one-video"),
        pytest.param(["1 a train", "2 b train"], "the class 'a' has no video to judge on", id="one-side"),
        pytest.param(["1 a train", "2 a validate", "3 b validate"], "'b' has no video to learn from", id="not-learnt"),
        pytest.param(["1 a|b train", "2 b train"], "it has no video to judge on", id="several-labels"),
    ],
)
def test_what_makes_no_dataset_is_one_line(rows: list[str], said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        planned(clips(*rows))


def test_the_same_file_by_two_names_has_one_label() -> None:
    with pytest.raises(DatasetError, match=r"line 4: 3 \(the same file as 1 on line 2\) is labelled 'b', and 'a' on"):
        planned(clips("1 a", "2 a", "3 b", "4 b"), **{"1": "s", "3": "s"})


def test_what_stands_there_twice_counts_once_and_what_is_gone_is_counted() -> None:
    table = clips("1 a", "2 a", "3 b", "4 b", "1 a", "gone b")
    plan = planned(table, gone=None)
    assert [each.drop for each in plan.clips] == [None] * 4 + [DropReason.DUPLICATE, DropReason.NOT_FETCHED]
    assert [tally.drops for tally in (each.tally for each in plan.clips[3:])] == [
        {},
        {DropReason.DUPLICATE: 1},
        {DropReason.NOT_FETCHED: 1},
    ]
    assert len({each.name for each in plan.clips}) == 6
    assert plan.dropped[1] == {"source": "gone", "reason": "not-fetched", "why": "no such file"}
    assert plan.notes == ["1 of its lines name a clip that stands there before; it counts once: line 6."]
    with pytest.raises(
        DatasetError, match=r"'b' has no .*\(2 of its 3 cannot be used: 1 broken-video, 1 not-fetched; the first"
    ):
        plan.without({2: DropReason.BROKEN_VIDEO}, {})
    with pytest.raises(DatasetError, match="none of its 2 videos can be used: 2 not-fetched; the first: no such file"):
        planned(clips("gone a", "also b"), gone=None, also=None)


def test_nothing_depends_on_the_folder_in_which_the_table_lies() -> None:
    tallies = list[list[ShardTally]]()
    for folder in map(str, range(20)):
        rows = [LabelledClip(f"line {n}", f"/{folder}/{n}", str(n), ("ab"[n % 2],)) for n in range(8)]
        contents = {clip.source: hash_of(clip.named) if clip.named != "7" else None for clip in rows}
        tallies.append([each.tally for each in plan_import(ClipTable(Path(folder), tuple(rows)), contents).clips])
    assert all(found == tallies[0] for found in tallies)


def test_a_clips_name_is_readable_and_its_own() -> None:
    table = ClipTable(
        Path("t.csv"),
        tuple(
            LabelledClip("line", named, named, ("a",), None, None, start_s, end_s)
            for named, start_s, end_s in (
                ("b/Crème brûlée (1).mp4", None, None),
                ("b/Crème brûlée (1).mp4", 1.5, 3.0),
                ("https://host/watch%20this?v=abc", 2.0, None),
                ("日本.mp4", None, None),
            )
        ),
    )
    names = [each.name for each in _unchecked(table)]
    assert names == [
        "Creme-brulee-1-01234567",
        "Creme-brulee-1-01234567-1.5-3",
        "watch-this-v-abc-01234567-2-end",
        "video-01234567",
    ]


def _unchecked(table: ClipTable) -> tuple:
    from tasks.imports.plan import ImportedClip

    return tuple(ImportedClip(clip, "train", "0123456789abcdef" * 4) for clip in table.clips)


def test_a_tally_follows_from_content_times_labels_and_name() -> None:
    base = planned(clips("1 a", "2 a", "3 b", "4 b"))
    other = planned(clips("1 a", "2 a", "3 b", "4 b"), **{"1": hash_of("other")})
    relabelled = planned(clips("1 a", "2 b", "3 b", "4 a", "5 a"))
    md5s = {each.clip.named: each.tally.md5 for each in base.clips}
    assert {each.clip.named for each in other.clips if each.tally.md5 != md5s[each.clip.named]} == {"1"}
    assert {each.clip.named for each in relabelled.clips if md5s.get(each.clip.named) != each.tally.md5} == {
        "2",
        "4",
        "5",
    }
    assert base.clips[0].tally.clip is not None
    assert base.clips[0].tally.clip.sha256 == hash_of("1")
