"""`reelsift find` and `export` as a person types them."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image

import reelsift as package
from tasks.contracts.media import LABELS_NAME, OBJECTS_NAME, LabelSegment
from tasks.reports.video_report import write_report
from tests.reelsift.test_cli import reelsift
from tests.support.in_process import run_here
from tests.support.reports import video_record, write_boxes, write_labels, write_objects

Typed = Callable[..., CompletedProcess[str]]
HARM = "\x1b[31m=red\u202e [bold]"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the results of two videos."""
    home = tmp_path / "home"
    write_labels(home / "videos" / "belt-1", annotate=False)
    write_boxes(home / "videos" / "belt-1", write_objects(home / "videos" / "belt-1", annotate=False))
    harmful = LabelSegment(start_s=3600, end_s=3671.5, label_id=7, name=HARM, score=0.7)
    write_labels(home / "videos" / "harm-2", video_record(title=HARM), segments=[harmful], annotate=False)
    write_report(home / "videos" / "belt-1")
    return home


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    return lambda *words, **environment: run_here(
        *words, home=home, monkeypatch=monkeypatch, capfd=capfd, **environment
    )


def test_find_prints_when_how_sure_a_picture_and_a_link(home: Path) -> None:
    run = reelsift("find", "CUP", "espresso", "--kind", "object", "--min-score", "0.5", "--limit", "1", home=home)
    report = (home / "videos" / "belt-1" / "index.html").as_uri()
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.splitlines() == [
        "CUP or espresso: 1 time in 1 of 2 videos",
        "belt-1  0:01-0:02.5  cup 1  0.8000",
        f"  {home}/videos/belt-1/thumbnails/0001.jpg",
        f"  {report}#t=1",
    ]


def test_find_answers_as_one_json_object_and_as_the_function_does(home: Path, tmp_path: Path) -> None:
    typed = ["find", "bottle", "hotdog", "--video", "a belt", "--since", "7d", "--in", "home/videos", "--json"]
    run = reelsift(*typed, home=home)
    told = json.loads(run.stdout)
    assert (run.returncode, told["total"], told["videos"], told["searched"]) == (0, 5, 1, 2)
    assert {hit["name"] for hit in told["hits"]} == {"bottle", "hotdog"}
    found = package.find(["bottle", "hotdog"], video="a belt", home=home)
    assert [hit._asdict() | {"made_at": hit.made_at.isoformat()} for hit in found] == told["hits"]
    assert found.to_pandas().start_s.tolist() == [hit["start_s"] for hit in told["hits"]]
    assert repr(found) == "<SearchHits: 5 in 1 of 2 videos>"
    assert found._repr_html_().count("<tr>") == 6


def test_find_searches_the_storage(home: Path, tmp_path: Path, here: Typed) -> None:
    run = here("find", "cup", "--stored", REELSIFT_STORAGE=(tmp_path / "store").as_uri())
    assert run.returncode == 1
    assert "No results in" in run.stderr
    assert "store/videos" in run.stderr
    none = reelsift("find", "cup", "--stored", home=home)
    assert (none.returncode, none.stderr.count("\n")) == (1, 1)
    assert "error: There is no storage: set REELSIFT_STORAGE" in none.stderr


def test_what_a_stranger_named_gives_no_orders(home: Path, here: Typed) -> None:
    run = here("find", HARM)
    assert "\x1b" not in run.stdout
    assert "\u202e" not in run.stdout
    assert "harm-2  1:00:00-1:01:11.5  =red [bold]  0.7000" in run.stdout.splitlines()
    rows = here("export", "harm-2", "--format", "csv").stdout.splitlines()
    assert rows[1].startswith("harm-2,label,'=red [bold],cooking/3,3600.0,3671.5,0.7,")


def test_a_name_of_several_lines_is_one(home: Path, here: Typed) -> None:
    (home / "videos" / "belt-1").rename(home / "videos" / "belt\nharm-2  0:00  cup  1.0000")
    assert len(here("find", "cup").stdout.splitlines()) == 4
    assert here("export", "belt", "--format", "mot", "--out", "out").returncode == 0
    (sequence,) = (home.parent / "out").rglob("seqinfo.ini")
    assert sequence.read_text().splitlines()[1:3] == ["name=belt harm-2 0:00 cup 1.0000", "imDir=img1"]


def test_a_name_that_is_not_there_is_no_error_and_near_ones_are_named(here: Typed) -> None:
    run = here("find", "botle")
    assert (run.returncode, run.stdout) == (0, "botle: 0 times in 0 of 2 videos\n")
    assert "There are: bottle." in run.stderr


def test_a_damaged_result_is_named(home: Path, here: Typed) -> None:
    (home / "videos" / "harm-2" / LABELS_NAME).write_text("{}")
    run = here("find", "cup")
    assert run.returncode == 0
    assert "warning: harm-2/labels.json is damaged (" in run.stderr
    for number in range(12):
        (home / "videos" / f"bad-{number}").mkdir()
        (home / "videos" / f"bad-{number}" / OBJECTS_NAME).write_text("{}")
    many = here("find", "cup").stderr
    assert (many.count("is damaged"), "warning: 3 more results are left out" in many) == (10, True)


def test_export_goes_to_stdout_to_a_file_and_to_a_folder(home: Path, tmp_path: Path) -> None:
    run = reelsift("export", "home/videos/belt-1/labels.json", "--format", "webvtt", home=home)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("WEBVTT\n\nlabel cooking/3\n00:00:00.000 --> 00:00:02.000\nespresso\n")
    kept = ["export", "home/videos/belt-1/labels.json", "--format", "webvtt", "--out", "belt.vtt", "--force", "--json"]
    (tmp_path / "belt.vtt").write_text("an earlier one")
    assert json.loads(reelsift(*kept, home=home).stdout) == {"format": "webvtt", "files": ["belt.vtt"]}
    assert (tmp_path / "belt.vtt").read_text() == run.stdout


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (["export", "belt", "--format", "csv", "--out", "belt.csv"], "belt.csv\n", 0),
        (["export", "belt-1", "harm-2", "--format", "csv", "--out", "out"], "2 files in out\n", 0),
        (["export", "belt-1", "--format", "mot", "--out", "-"], "mot has several files: name a folder", 1),
        (["export", "belt-1", "harm-2", "--format", "coco"], "2 results have several files: name a folder", 1),
        (["export", "harm-2", "--format", "mot", "--out", "out"], "harm-2 has labels and no objects", 1),
        (
            ["export", f"home/videos/belt-1/{OBJECTS_NAME}", "--format", "chapters"],
            "belt-1 has objects and no labels",
            1,
        ),
        (["export", "harm-2", "--format", "chapters"], "make 1 chapter of 10 s or more, and YouTube takes 3", 1),
        (["export", "blt-1", "--format", "csv"], "No result 'blt-1'", 1),
        (["export", "belt-1", "--format", "xml"], "must be one of csv, coco, cvat, mot, yolo, webvtt, chapters", 2),
        (["export", "belt-1", "--format", "csv", "--json"], "stdout has the JSON object: name the file by --out", 2),
        (["find", "cup", "--since", "soon"], "must be a date or an age, e.g. 2026-11-01 or 7d; got 'soon'", 2),
        (["find", "cup", " "], "for NAME: a name must not be empty", 2),
        (["report", "home/videos/belt-1", "--beside", "home/videos/belt-1"], "belt-1 is that result itself: name", 1),
        (["find", "cup", "--limit", "99999999999999999999"], "cup: 1 time in 1 of 2 videos", 0),
        (
            ["clip", "x.mp4", "--label", "cup", "--pad", "nan"],
            "for --pad: Input should be less than or equal to 3600",
            2,
        ),
        (["clip", "x.mp4", "--label", ""], "for --label: String should have at least 1 character", 2),
        (["find", "cup", "--in", "nowhere"], "No results in", 1),
        (["find", "cup", "--kind", "sound"], "'sound' is not one of 'label', 'object'", 2),
    ],
)
def test_what_is_typed_is_done_or_refused_in_one_line(here: Typed, words: list[str], said: str, code: int) -> None:
    run = here(*words)
    plain = " ".join((run.stdout + run.stderr).replace("│", " ").split())
    assert (run.returncode, " ".join(said.split()) in plain) == (code, True), plain
    assert code != 1 or (run.stdout, run.stderr.count("\n"), run.stderr[:6]) == ("", 1, "error:")


def test_a_picture_has_no_clips_which_is_said_before_the_work(tmp_path: Path, here: Typed) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "x.png")
    run = here("clip", "x.png", "--label", "cup", "--json")
    assert (run.returncode, json.loads(run.stdout)["videos"][0]["status"]) == (1, "failed")
    assert run.stderr == f"error: {tmp_path}/x.png is a picture, which has no clips: name a video.\n"


def test_a_failure_to_write_is_one_json_object_too(home: Path, tmp_path: Path, here: Typed) -> None:
    (tmp_path / "belt.csv").write_text("mine")
    run = here("export", "belt-1", "--format", "csv", "--out", "belt.csv", "--json")
    assert (run.returncode, run.stderr.count("\n")) == (1, 1)
    assert json.loads(run.stdout)["error"] == {
        "type": "OutputError",
        "message": "belt.csv is there: `--force` overwrites it.",
    }


def test_a_result_is_named_by_its_beginning_and_by_a_file_of_the_folder(home: Path, here: Typed) -> None:
    (home / "videos" / "belt-1-60-90").mkdir()  # with the shots of a part, and no result
    assert here("export", "belt", "--format", "csv").returncode == 0
    assert "No result 'belt-1-60-90'" in here("export", "belt-1-60-90", "--format", "csv").stderr


def test_where_a_disk_is_full_is_said(home: Path, tmp_path: Path, here: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)  # where most disks that are full say so
        files = here("export", "belt-1", "--format", "csv", "--out", "belt.csv", "--json")
        page = here("report", "home/videos/belt-1")
    assert (files.returncode, files.stderr.count("\n")) == (1, 1)
    assert json.loads(files.stdout)["error"]["message"].startswith("belt.csv: No space left on device.")
    assert page.stderr.startswith("error: home/videos/belt-1/index.html: No space left on device.")
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp") or path.name == "belt.csv"]
