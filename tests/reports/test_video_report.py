"""The page of a video's folder, as it is written."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.contracts.errors import ReportError
from tasks.contracts.media import LABELS_NAME, LABELS_TABLE_NAME, OBJECTS_NAME, ObjectsManifest, Shot, Shots
from tasks.reports.video_report import write_index, write_report
from tasks.reports.words import shown
from tests.support.reports import CLASS_NAMES, video_record, write_boxes, write_labels, write_objects

HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror=alert(2)>\u202e{{ 7*7 }}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of one video that was labelled and searched for objects."""
    made = tmp_path / "belt-abababab"
    write_labels(made)
    write_objects(made)
    return made


def page_of(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_the_page_says_what_is_shown_and_what_is_behind_it(folder: Path) -> None:
    page = page_of(folder)
    assert "espresso (0–2 s), then hotdog (2–4 s), then banana (4–6 s)." in page  # noqa: RUF001
    assert "4 bottles, from 0.0 s to 5.5 s; 1 cup, from 1.0 s to 2.5 s." in page
    behind = ["cooking/3", "yt8m-video-2018", "ds-0123456789ab", "0f" * 16, "cd" * 32, "ef" * 32, "ab" * 32]
    behind += ["yolox-nano", "cpu, speed normal", "window=3", "min_score=0.3", "0.1.0+abcdef012345", "59.4 %"]
    assert [fact for fact in behind if fact not in page] == []


@pytest.mark.parametrize("count", [20, 21, 1000])
def test_every_file_that_a_model_has_learnt_from_is_named(count: int, tmp_path: Path) -> None:
    clips = [f"{number:064x}"[::-1] for number in range(count)]
    record = {"name": "kitchen/1", "feature_space": "efficientnet-lite0", "weights": (), "clips": clips}
    write_labels(tmp_path, model=record, annotate=False)
    page = page_of(tmp_path)
    assert f"Its {count:,} files" in page
    assert [clip for clip in clips if clip[:12] not in page] == []
    assert ("<summary>Show them</summary>" in page) == (count > 20)


def test_the_same_folder_gives_the_same_bytes(folder: Path) -> None:
    assert page_of(folder) == page_of(folder)


def test_nothing_is_left_beside_the_page(folder: Path) -> None:
    before = {path.name for path in folder.iterdir()}
    write_report(folder)
    assert {path.name for path in folder.iterdir()} == before | {"index.html"}


@pytest.mark.parametrize("what", ["labels", "objects"])
def test_either_answer_alone_has_its_page(what: str, tmp_path: Path) -> None:
    (write_labels if what == "labels" else write_objects)(tmp_path)
    page = page_of(tmp_path)
    assert ("Labels over time" in page) == (what == "labels")
    assert ("Objects over time" in page) == (what == "objects")
    assert 'type="radio"' not in page


def test_a_picture_has_no_time(tmp_path: Path) -> None:
    record = video_record("picture")
    write_labels(tmp_path, record)
    write_objects(tmp_path, record)
    page = page_of(tmp_path)
    assert 'src="detected.png"' in page
    assert "4 bottles; 1 cup." in page
    assert 'id="slider"' not in page
    assert "over time" not in page.split("<main")[1].split("<script")[0]


def test_without_annotated_copies_the_page_says_so(tmp_path: Path) -> None:
    write_labels(tmp_path, annotate=False)
    write_objects(tmp_path, annotate=False, thumbnails=False)
    page = page_of(tmp_path)
    assert "there is nothing to play here" in page
    assert "<video" not in page


def test_what_a_reader_must_know_stands_at_the_top(tmp_path: Path) -> None:
    write_labels(tmp_path, video_record(corrupt_frames=3), is_silent=True)
    page = page_of(tmp_path)
    assert "The sound could not be used" in page
    assert "3 packets could not be decoded, so the answer is of 60 frames." in page


def test_what_is_missing_of_a_video_is_said_in_the_words_of_its_manifest(tmp_path: Path) -> None:
    media = video_record().media.model_copy(update={"cut_short": True, "missing_s": 4.0, "declared_s": 10.0})
    labels = write_labels(tmp_path, video_record(media=media, frames_read=6))
    objects = write_objects(tmp_path, record=video_record(media=media, corrupt_frames=1))
    page = page_of(tmp_path)
    assert labels.video.loss == (
        "the file is cut short: the last 4.0 s of 10.0 s are not there, so the answer is of 6 frames"
    )
    assert f"Labels: {labels.video.loss}." in page
    assert f"Objects: {objects.video.loss}." in page


def test_nothing_found_is_said(tmp_path: Path) -> None:
    write_objects(tmp_path, tracks=0)
    write_labels(tmp_path, names=[], segments=[])
    page = page_of(tmp_path)
    assert page.split("<main")[1].count("No objects were found.") == 2
    assert "No label fits." in page


def test_text_of_strangers_stays_text(tmp_path: Path) -> None:
    record = video_record(
        title=HOSTILE, source="javascript:alert(3)", address="data:text/html,<script>alert(4)</script>"
    )
    write_labels(tmp_path, record, names=[HOSTILE, "b"])
    page = page_of(tmp_path)
    assert page.count("<script") == 2  # the data and ours
    assert page.count("</script>") == 2
    assert "<img src=x" not in page
    assert "\u202e" not in page
    assert "{{ 7*7 }}" in page
    assert not re.search(r'href="(javascript|data):', page, re.IGNORECASE)
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["labels"][0] == shown(HOSTILE)


@pytest.mark.parametrize(
    ("address", "is_link"),
    [
        pytest.param("https://example.org/a?b=c&d", True, id="https"),
        pytest.param("HTTP://example.org/", True, id="upper case"),
        pytest.param("javascript:alert(1)", False, id="javascript"),
        pytest.param(" javascript:alert(1)", False, id="javascript after a blank"),
        pytest.param("data:text/html,x", False, id="data"),
        pytest.param("//example.org/", False, id="no scheme"),
        pytest.param("http:alert", False, id="no host"),
        pytest.param("https://[::1", False, id="broken host"),
        pytest.param("/home/me/belt.mp4", False, id="file"),
    ],
)
def test_only_addresses_of_the_web_are_links(address: str, is_link: bool, tmp_path: Path) -> None:
    write_objects(tmp_path, video_record(source=address))
    assert ('rel="noopener noreferrer external"' in page_of(tmp_path)) == is_link


def test_a_title_without_end_or_blanks_is_cut(tmp_path: Path) -> None:
    write_objects(tmp_path, video_record(title="x" * 100_000))
    assert "x" * 300 not in page_of(tmp_path)


def damage(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def rewrite(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change


def other_table(folder: Path) -> None:
    pq.write_table(pa.table({"time_s": ["not a number"]}), folder / LABELS_TABLE_NAME)


def other_masks(folder: Path) -> None:
    rewrite(OBJECTS_NAME, '"has_masks":false', '"has_masks":true')(folder)
    table = write_boxes(folder, ObjectsManifest.model_validate_json((folder / OBJECTS_NAME).read_bytes()))
    place = table.schema.get_field_index("mask")
    runs = pa.array(['{"size": [99999999, 99999999], "counts": "0"}'] * len(table))
    pq.write_table(table.set_column(place, "mask", runs), folder / "objects.parquet")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        pytest.param(damage(LABELS_NAME, b"{"), r"labels\.json is damaged .*`reelsift label`", id="half a manifest"),
        pytest.param(damage(OBJECTS_NAME, b""), r"objects\.json is damaged .*`reelsift detect`", id="empty manifest"),
        pytest.param(damage(LABELS_NAME, b"\xff\xfe"), r"labels\.json is damaged", id="no text"),
        pytest.param(damage(OBJECTS_NAME, b'"x"'), r"objects\.json is damaged", id="other JSON"),
        pytest.param(
            rewrite(OBJECTS_NAME, '"#e6194b"', '"red;}</style>"'), r"tracks\.0\.colour", id="colour that is none"
        ),
        pytest.param(remove(LABELS_TABLE_NAME), r"labels\.parquet is missing, but labels\.json", id="no table"),
        pytest.param(remove("objects.parquet"), r"objects\.parquet is missing", id="no table of objects"),
        pytest.param(remove("labelled.mp4"), r"labelled\.mp4 is missing", id="no labelled video"),
        pytest.param(remove("thumbnails/0002.jpg"), r"0002\.jpg is missing, but objects\.json", id="no thumbnail"),
        pytest.param(damage(LABELS_TABLE_NAME, b"PAR1"), r"labels\.parquet is no table of labels", id="broken table"),
        pytest.param(other_table, r"labels\.parquet is no table of labels", id="other table"),
        pytest.param(other_masks, r"no table of objects \(a mask of 99999999 x 99999999 does not fill", id="masks"),
        pytest.param(
            rewrite(OBJECTS_NAME, "thumbnails/0002.jpg", "../0002.jpg"), "lies outside of its folder", id="outside"
        ),
        pytest.param(
            rewrite(OBJECTS_NAME, "detected.mp4", "/etc/hostname"), "lies outside of its folder", id="absolute"
        ),
        pytest.param(rewrite(OBJECTS_NAME, "ab" * 32, "ba" * 32), "are of different videos", id="two videos"),
    ],
)
def test_a_damaged_folder_is_named_and_its_old_page_stays(
    harm: Callable[[Path], object], message: str, folder: Path
) -> None:
    before = page_of(folder)
    harm(folder)
    with pytest.raises(ReportError, match=message) as caught:
        write_report(folder)
    assert "\n" not in str(caught.value)
    assert (folder / "index.html").read_text(encoding="utf-8") == before


def test_a_folder_without_manifests_is_nothing_to_report_on(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"holds neither labels\.json nor objects\.json.*`reelsift label SOURCE`"):
        write_report(tmp_path)


def test_five_hundred_objects_make_a_page_that_stays_small(tmp_path: Path) -> None:
    write_objects(tmp_path, tracks=500)
    page = page_of(tmp_path)
    assert page.count('class="row lane"') == 500
    assert page.count('<details class="group" open') == 0
    assert len(page) < 1_000_000


def test_of_too_many_objects_those_with_few_boxes_are_left_out_and_counted(tmp_path: Path) -> None:
    write_objects(tmp_path, tracks=1200, thumbnails=False)
    page = page_of(tmp_path)
    assert page.count('class="row lane"') == 1000
    left_out = [int(number) for number in re.findall(r"(\d+) with fewer boxes are only in objects\.json", page)]
    assert sum(left_out) == 200
    assert f"750 {CLASS_NAMES[0]}s" in page


def test_cards_link_to_the_page_of_each_video(tmp_path: Path) -> None:
    for name in ("one #1", "two"):
        write_labels(tmp_path / name, video_record(title=name))
        write_objects(tmp_path / name, video_record(title=name))
    (tmp_path / "something else").mkdir()
    page = write_index(tmp_path).read_text(encoding="utf-8")
    assert re.findall(r'<a href="([^#"]+)"', page) == ["one%20%231/index.html", "two/index.html"]
    assert (tmp_path / "one #1" / "index.html").is_file()
    assert "espresso" in page
    assert "4 bottles, from 0.0 s to 5.5 s; 1 cup, from 1.0 s to 2.5 s." in page
    assert 'src="two/thumbnails/0000.jpg"' in page


def test_cards_without_thumbnails_show_the_start_of_the_video(tmp_path: Path) -> None:
    write_labels(tmp_path / "belt")
    assert '<video src="belt/labelled.mp4" preload="metadata"' in write_index(tmp_path).read_text(encoding="utf-8")


def test_a_broken_folder_is_named_on_the_page_of_the_others(tmp_path: Path) -> None:
    write_objects(tmp_path / "whole")
    write_objects(tmp_path / "broken")
    (tmp_path / "broken" / "detected.mp4").unlink()
    page = write_index(tmp_path).read_text(encoding="utf-8")
    assert "1 video<" in page
    assert "detected.mp4 is missing" in page


def test_no_page_is_written_through_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    write_objects(tmp_path / "out" / "whole")
    write_objects(tmp_path / "elsewhere")
    (tmp_path / "out" / "linked").symlink_to(tmp_path / "elsewhere")
    page = write_index(tmp_path / "out").read_text(encoding="utf-8")
    assert "1 video<" in page
    assert "is a link to" in page
    assert not (tmp_path / "elsewhere" / "index.html").exists()


@pytest.mark.parametrize("make", [Path.mkdir, Path.exists], ids=["empty", "not there"])
def test_no_videos_make_no_cards(make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(ReportError, match=r"No folder of a video in .*out"):
        write_index(tmp_path / "out")


def test_only_broken_folders_make_no_cards(tmp_path: Path) -> None:
    write_objects(tmp_path / "broken")
    (tmp_path / "broken" / "detected.mp4").unlink()
    with pytest.raises(ReportError, match=r"None of the 1 folders in .*detected\.mp4 is missing"):
        write_index(tmp_path)


def test_shots_are_marked_on_the_axis_and_a_part_is_told(tmp_path: Path) -> None:
    cuts_s = (0.0, 1.5, 3.0, 6.0)
    found = [Shot(start_s=start_s, end_s=end_s) for start_s, end_s in pairwise(cuts_s)]
    shots = Shots(detector="content", options={"threshold": 33.0}, shots=tuple(found))
    write_labels(tmp_path, video_record(part={"start_s": 1.0, "end_s": 4.0}), shots=shots)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert page.count('<i class="cut" style="left:25.0%">') == page.count('<i class="cut" style="left:50.0%">') > 1
    assert "3, by content" in page
    assert "1.0 s to 4.0 s" in page
    assert '"from_s": 1.0' in page
    write_labels(tmp_path)
    plain = write_report(tmp_path).read_text(encoding="utf-8")
    assert ('class="cut"' in plain, '"from_s": 0' in plain) == (False, True)
