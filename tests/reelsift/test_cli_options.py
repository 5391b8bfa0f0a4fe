"""Every option of the commands that need no server, typed at the installed command; and that none has no test."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reelsift import clip as cut_out
from reelsift import label, shots
from tasks.contracts.errors import VideosFailedError
from tasks.contracts.media import LABELLED_FRAMES_FOLDER, LABELS_TABLE_NAME
from tests.reelsift.test_cli import REELSIFT, reelsift
from tests.support.folders import digests
from tests.support.in_process import run_here
from tests.support.mirror_server import MirrorServer
from tests.support.square_network import square_network
from tests.support.square_videos import write_clip
from tests.support.typed_commands import all_options, typed_options

FRAMES = 20  # of a clip of 10 frames a second


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "apple.mp4"
    write_clip(path, [[("apple", 4, 4)]] * FRAMES)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A folder with a network that finds coloured squares, under YOLOX's name."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "yolox_nano.onnx").write_bytes(square_network())
    return str(folder)


def answer(*arguments: object, home: Path, **environment: str) -> dict[str, Any]:
    """Run a command that must succeed, and read the one JSON object that it prints."""
    run = reelsift(*arguments, "--json", home=home, **environment)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_every_command_and_option_is_typed_by_a_test() -> None:
    """What is new in the help has no test that types it, until it is named in one's arguments."""
    typed = typed_options()
    missing = {name: options - typed.get(name, set()) for name, options in all_options().items()}
    untested = [f"{' '.join(name)} {option}".strip() for name, options in missing.items() for option in sorted(options)]
    assert not untested
    groups = {name[:-1] for name in all_options()}
    assert not {name for name in all_options() if name not in typed and name not in groups}


def test_what_stands_before_a_command(home: Path, tmp_path: Path) -> None:
    version = reelsift("--version", home=home)
    assert (version.returncode, version.stdout.count(".")) == (0, 2)
    (tmp_path / "mine.toml").write_text("[download]\nconnections = 3\n")
    shown = answer("--home", "another", "--config", "mine.toml", "config", "show", home=home)
    assert shown["home"] == {"value": "another", "origin": "command line"}
    assert shown["download.connections"] == {"value": 3, "origin": "mine.toml"}


def test_a_shell_completes_commands_and_options(home: Path, tmp_path: Path) -> None:
    script = reelsift("--show-completion", "bash", home=home, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "complete -o default -F _reelsift_completion reelsift" in script.stdout
    assert (
        reelsift(
            "--install-completion",
            "bash",
            home=home,
            HOME=str(tmp_path),
            _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
        ).returncode
        == 0
    )
    assert "_REELSIFT_COMPLETE=complete_bash" in (tmp_path / ".bash_completions" / "reelsift.sh").read_text()
    asked = {"_REELSIFT_COMPLETE": "complete_bash", "COMP_WORDS": "reelsift dataset di", "COMP_CWORD": "2"}
    assert reelsift(home=home, **asked).stdout.split() == ["diff"]


def test_labels_of_a_vertical_and_shards_of_a_partition(home: Path, synthetic_mirror: Path) -> None:
    found = answer("vocabulary", "--vertical", "Food & Drink", "--mirror", synthetic_mirror, home=home)["labels"]
    assert "Cooking" in {label["name"] for label in found}
    assert all("Food & Drink" in label["verticals"] for label in found)
    one = answer("shards", "plan", "--partition", "video/train", "--limit", 1, "--mirror", synthetic_mirror, home=home)
    assert [(shard["partition"], shard["name"]) for shard in one["shards"]] == [("video/train", "trainaa.tfrecord")]
    shares = [
        answer("shards", "plan", "--shards", f"{share},2", "--mirror", synthetic_mirror, home=home)["shards"]
        for share in (1, 2)
    ]
    assert [len(share) for share in shares] in ([2, 4], [3, 3], [4, 2])
    assert not {shard["name"] for shard in shares[0]} & {shard["name"] for shard in shares[1]}
    got = answer(
        "shards", "download", "--partition", "video/train", "--shards", "1,2", "--mirror", synthetic_mirror, "--yes",
        home=home,
    )  # fmt: skip
    expected = [shard["name"] for shard in shares[0] if shard["partition"] == "video/train"]
    assert got["fetched"] == len(expected) == len(list(home.rglob("*.tfrecord")))
    again = reelsift("shards", "download", "--shards", "1,1", "--mirror", synthetic_mirror, "-y", home=home)
    assert "6 of 6 shards are in" in again.stdout


def test_what_nobody_needs_is_listed_and_deleted(home: Path) -> None:
    leftover = home / "datasets" / ".cooking.1.tmp"
    leftover.mkdir(parents=True)
    os.utime(leftover, (0, 0))
    wanted = ("--older-than", "1h", "--keep", "1", "--models", "--shards", "--fetched")
    assert [item["kind"] for item in answer("prune", *wanted, home=home)["goes"]] == ["leftover"]
    assert leftover.is_dir()
    gone = reelsift("prune", "--keep", "1", "--models", "--shards", "--fetched", "-y", home=home)
    assert gone.stdout.endswith("1 things are gone, which freed 0 B.\n"), gone.stderr
    assert not leftover.exists()


def test_weights_come_from_an_address_of_the_settings(home: Path, tmp_path: Path) -> None:
    content = b"the weights of a network"
    served = tmp_path / "served"
    served.mkdir()
    (served / "mine.onnx").write_bytes(content)
    with MirrorServer(served) as server:
        (tmp_path / "mine.toml").write_text(
            f'[weight_files.mine]\nfile_name = "mine.onnx"\nurls = ["{server.url}/mine.onnx"]\nlicence = "MIT"\n'
            'used_for = "a test"\n'
        )
        (got,) = answer("--config", "mine.toml", "weights", "fetch", "mine", home=home)["weights"]
    assert got["sha256"] == hashlib.sha256(content).hexdigest()
    assert Path(got["path"]).read_bytes() == content
    listed = answer("--config", "mine.toml", "weights", "list", home=home)["weights"]
    assert {each["name"]: each["state"] for each in listed}["mine"] == "here"


def test_an_id_is_answered_in_json(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mirror" / "2" / "j" / "i" / "ZU"
    folder.mkdir(parents=True)
    (tmp_path / "mirror" / "2" / "download_plans").mkdir()
    (folder / "ZU9H.js").write_text('i("ZU9H","abcdefghij_");')
    found = answer("id", "ZU9H", "--mirror", tmp_path / "mirror", home=home)
    assert (found["youtube_id"], found["address"]) == ("abcdefghij_", "https://www.youtube.com/watch?v=abcdefghij_")


def test_labelling_obeys_its_options(home: Path, clip: Path, tmp_path: Path) -> None:
    made = answer(
        "label", clip, "--fps", 2, "--window", 2, "--causal", "--annotate", "--keep-frames", "--shots", "--no-snap",
        "--out", "found", home=home,
    )  # fmt: skip
    (video,) = made["videos"]
    folder = Path(video["folder"])
    assert folder.parent == tmp_path / "found"
    assert video["labels"]["seconds"] == 4  # 2 s at 2 a second
    options = video["labels"]["options"]
    assert (options["rate_hz"], options["window"], options["centred"]) == (2.0, 2, False)
    assert video["labels"]["shots"]["shots"] == [{"start_s": 0.0, "end_s": 2.0}]
    assert (video["labels"]["smoothing"], "labels lag" in (folder / "index.html").read_text()) == ("causal mean", True)
    assert len(list((folder / LABELLED_FRAMES_FOLDER).iterdir())) == 4
    assert (folder / video["labels"]["annotated_video"]).is_file()
    times = pq.read_table(folder / LABELS_TABLE_NAME)["time_s"].to_pylist()
    assert sorted(set(times)) == [0.0, 0.5, 1.0, 1.5]
    again = answer(
        "label", clip, "--fps", 2, "--window", 2, "--centred", "--no-annotate", "--again", "--shots", "--snap", "--out",
        "found", home=home,
    )["videos"][0]  # fmt: skip
    assert (again["status"], again["labels"]["options"]["centred"], again["labels"]["annotated_video"]) == (
        "done",
        True,
        None,
    )
    assert not (folder / LABELLED_FRAMES_FOLDER).exists()
    page = answer("report", "found", home=home)["report"]
    assert Path(page) == Path("found/index.html")
    assert folder.name in (tmp_path / page).read_text(encoding="utf-8")


def test_detecting_obeys_its_options(home: Path, clip: Path, weights: str) -> None:
    where = {"REELSIFT_WEIGHTS": weights}
    fixed = ("--detector", "yolox-nano")
    (made,) = answer(
        "detect",
        clip,
        *fixed,
        "--fps",
        5,
        "--every",
        2,
        "--min-score",
        0.5,
        "--speed",
        "normal",
        "--annotate",
        home=home,
        **where,
    )["videos"]
    objects = made["objects"]
    assert objects["counts"] == {"apple": 1}
    assert objects["boxes"] == 5  # 2 s at 5 a second, every other one
    assert (objects["options"]["min_score"], objects["options"]["every"]) == (0.5, 2)
    assert (Path(made["folder"]) / objects["annotated"]).is_file()
    (other,) = answer("detect", clip, *fixed, "--classes", "bottle", "--no-annotate", home=home, **where)["videos"]
    assert (other["objects"]["counts"], other["objects"]["annotated"]) == ({}, None)
    plain = reelsift(
        "detect",
        clip,
        "--detector",
        "yolox-nano",
        "--classes",
        "bottle",
        "--no-annotate",
        "--again",
        home=home,
        **where,
    )
    assert (plain.returncode, "In all: nothing known" in plain.stdout) == (0, True), plain.stderr
    assert "was there already" not in plain.stderr


def test_a_part_of_each_video_of_a_folder_is_labelled_and_found_again_from_python(
    home: Path, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "clips" / "below").mkdir(parents=True)
    clip.rename(tmp_path / "clips" / "below" / "apple.mp4")
    words = ["label", "clips", "--recursive", "--start", "0:00.5", "--end", "1.5", "--no-annotate"]
    (video,) = answer(*words, home=home)["videos"]
    assert video["labels"]["video"]["part"] == {"start_s": 0.5, "end_s": 1.5}
    assert (video["labels"]["seconds"], video["video_s"]) == (1, 1.0)
    folder = Path(video["folder"])
    assert folder.name == f"apple-{video['labels']['video']['sha256'][:8]}-0.5-1.5"
    assert pq.read_table(folder / LABELS_TABLE_NAME)["time_s"].unique().to_pylist() == [0.5]
    (again,) = label([tmp_path / "clips"], recursive=True, start=0.5, end="1.5", annotate=False, home=home)
    assert (again.outcome.status, again.identity) == ("cached", video["labels"]["identity"])


def test_the_shots_of_a_video_are_listed(home: Path, clip: Path, tmp_path: Path) -> None:
    write_clip(clip, [[("apple", 4, 4)]] * 10 + [[("cup", 36, 36), ("bottle", 36, 4)]] * 10)
    (made,) = answer(
        "shots", ".", "--recursive", "--start", "0:00.2", "--end", 1.8, "--detector", "content", "--threshold", 2,
        "--out", "found", "--again", home=home,
    )["videos"]  # fmt: skip
    assert made["found"]["shots"] == [{"start_s": 0.2, "end_s": 1.0}, {"start_s": 1.0, "end_s": 1.8}]
    assert (tmp_path / "found" / Path(made["folder"]).name / made["sheet"]).is_file()
    shown = reelsift("shots", clip, "--threshold", 2, home=home)
    assert shown.stdout.startswith("apple: 0:02, by content\n2 shots"), shown.stderr
    assert f"Contact sheet: {home}/videos/apple-" in shown.stdout
    (tmp_path / "bad.mp4").write_text("no video at all")
    found = shots([tmp_path / "bad.mp4", clip], threshold=2, start="0:00.2", end=1.8, home=home)
    assert [(each.start_s, each.end_s) for each in found[0].shots] == [(0.2, 1.0), (1.0, 1.8)]
    assert (found[0].title, found[0].cuts_s, found[0].said) == ("apple", (1.0,), "2 shots, by content")
    assert found[0].page.is_file()
    assert "bad.mp4" in str(found.failures[0].reason)
    assert found.to_pandas()[["source", "start_s"]].to_numpy().tolist() == [[str(clip), 0.2], [str(clip), 1.0]]
    with pytest.raises(VideosFailedError, match=r"bad\.mp4"):
        shots(tmp_path / "bad.mp4", home=home)


def test_clips_of_what_was_found_are_cut_out(home: Path, clip: Path, weights: str, tmp_path: Path) -> None:
    first = reelsift("clip", ".", "-l", "apple pie", "--recursive", "--start", 1, "--end", 2, "--again", home=home)
    assert (first.returncode, first.stdout) == (1, "")
    assert "Labelling with " in first.stderr
    assert "as nothing was found before" in first.stderr
    assert "apple.mp4: No 'apple pie' was found in it." in first.stderr
    answer("detect", clip, "--detector", "yolox-nano", "--no-annotate", home=home, REELSIFT_WEIGHTS=weights)
    wanted = answer("clip", clip, "--label", "Apple", "--pad", 0.5, "--gif", "--out", "cut", home=home)
    (made,) = wanted["videos"]
    assert made["clips"] == [
        {"label": "apple", "start_s": 0.0, "end_s": 2.0, "file": "apple-0m00s-0m02s.mp4", "is_copy": True}
        | {"gif": "apple-0m00s-0m02s.gif"}
    ]
    cut = cut_out(clip, "apple", pad=0.5, out=tmp_path / "cut in Python", home=home)
    assert [(each.label, each.file, each.gif) for each in cut.clips] == [("apple", "apple-0m00s-0m02s.mp4", None)]
    assert (cut.source, cut.title, cut.said, cut.page.is_file()) == (str(clip), "apple", "1 clip", True)
    assert (cut.folder / cut.clips[0].file).is_file()
    with pytest.raises(VideosFailedError, match="No 'aple' was found in it"):
        cut_out(clip, ["aple"], home=home)
    folder = tmp_path / "cut" / Path(made["folder"]).parent.name / "clips"
    assert all((folder / name).is_file() for name in ("apple-0m00s-0m02s.mp4", "apple-0m00s-0m02s.gif", made["sheet"]))


def test_objects_are_sought_in_what_a_pattern_a_folder_and_the_standard_input_name(
    home: Path, clip: Path, weights: str, tmp_path: Path
) -> None:
    """Each range is a result of its own."""
    for name in ("tapes/a.mp4", "tapes/below/b.mp4", "c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(clip.read_bytes() + b"\x00\x00\x00\x0cskip" + name[-5:-1].encode())
    options = ("--detector", "yolox-nano", "--no-annotate")
    words = ["detect", "tapes", "*.mp4", "--recursive", "--start", 1, "--end", "0:01.2"]
    made = answer(*words, *options, home=home, REELSIFT_WEIGHTS=weights)
    sources = ["tapes/a.mp4", "tapes/below/b.mp4", "apple.mp4", "c.mp4"]
    assert [video["source"] for video in made["videos"]] == sources
    assert {video["objects"]["boxes"] for video in made["videos"]} == {2}
    assert {(track["start_s"], track["end_s"]) for video in made["videos"] for track in video["objects"]["tracks"]} == {
        (1.0, 1.1)
    }
    listed = in_shell(
        f"ls tapes/*.mp4 | REELSIFT_WEIGHTS={weights} reelsift detect - {' '.join(options)} --json", home, tmp_path
    )
    (video,) = json.loads(listed.stdout)["videos"]
    assert (video["source"], video["status"], video["objects"]["boxes"]) == ("tapes/a.mp4", "done", FRAMES)
    assert len(list((home / "videos").glob("*/"))) == 5


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--start", "2", "--end", "1"], 2, "--end: a range must end after its start, which is 2 s, got '1'"),
        (["--end", "0"], 2, "--end: a range must end after its start, which is 0 s, got '0'"),
        (["--start", "-1"], 2, "--start: a time is written in seconds (12.5), m:ss or h:mm:ss, from 0 on, got '-1'"),
        (
            ["--start", "1:60"],
            2,
            "--start: a time is written in seconds (12.5), m:ss or h:mm:ss, from 0 on, got '1:60'",
        ),
        (
            ["--start", "1:00:00"],
            1,
            "apple.mp4 lasts 2.0 s, and the part that was asked for starts at 3600 s: let `--start`",
        ),
    ],
)
def test_a_wrong_range_is_one_line(
    words: list[str],
    code: int,
    message: str,
    home: Path,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = run_here("label", clip.name, "--no-annotate", *words, home=home, monkeypatch=monkeypatch, capfd=capfd)
    said = " ".join(run.stderr.replace("│", "").split())
    assert (run.returncode, run.stdout) == (code, "")
    assert message in said
    assert "Traceback" not in said


def test_a_link_in_the_folder_of_results_is_not_followed(home: Path, clip: Path, weights: str, tmp_path: Path) -> None:
    """It fails alone: what lies behind it is somebody's, and another video beside it is done."""
    command = ("detect", clip, "--detector", "yolox-nano", "--no-annotate", "--out", "found")
    where = {"REELSIFT_WEIGHTS": weights}
    (video,) = answer(*command, home=home, **where)["videos"]
    folder, mine = Path(video["folder"]), tmp_path / "mine"
    folder.rename(mine)
    kept = digests(mine)
    folder.symlink_to(mine)
    (tmp_path / "other.mp4").write_bytes(clip.read_bytes() + b"\0\0\0\x08skip")
    run = reelsift(*command, "other.mp4", "--again", home=home, **where)
    assert (run.returncode, run.stdout.count("In all: 1 apple")) == (1, 1), run.stderr
    assert f"found/{folder.name} is a link to {mine}" in run.stderr
    assert digests(mine) == kept


def test_a_bad_name_among_many_fails_alone(home: Path, clip: Path, weights: str, tmp_path: Path) -> None:
    """Each name is a file's before it is anything else; what is no source at all says so, and the others are done."""
    good = ["@user.mp4", "~user.mp4", "dQw4w9WgXcQ", "ZU9H", "two\nlines.mp4", "list.mp4", "-v.mp4"]
    for number, name in enumerate(good):  # a box that players skip makes the content of each its own
        (tmp_path / name).write_bytes(clip.read_bytes() + b"\x00\x00\x00\x0cskip" + number.to_bytes(4, "big"))
    (tmp_path / "list.txt").write_bytes("\ufeff".encode("utf-16-le") + "list.mp4\r\n-v.mp4".encode("utf-16-le"))
    raw = b"caf\xe9.mp4"
    (tmp_path / os.fsdecode(raw)).write_bytes(clip.read_bytes())
    (tmp_path / "binary.txt").write_bytes(b"\0\1\2")
    bad = [os.fsdecode(raw), "", "x" * 5000, "~nobody-of-that-name/a.mp4", "@missing.txt", "@binary.txt"]
    run = reelsift(
        "detect", *good[:3], *bad, *good[3:5], "@list.txt", "--detector", "yolox-nano", "--no-annotate", "--json",
        home=home, REELSIFT_WEIGHTS=weights,
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    videos = json.loads(run.stdout)["videos"]
    assert [video["status"] for video in videos] == ["done"] * 3 + ["failed"] * 6 + ["done"] * 4
    assert run.stderr.count("error: ") == 6
    assert "The list of videos missing.txt cannot be read: No such file or directory." in run.stderr
    assert "binary.txt is no list of videos" in run.stderr
    assert r"caf\xe9.mp4" in run.stderr
    assert "not UTF-8 text, rename it" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_source_that_looks_like_an_option_is_told_how_to_be_written(
    home: Path, clip: Path, weights: str, tmp_path: Path
) -> None:
    (tmp_path / "-clip.mp4").write_bytes(clip.read_bytes())
    options = ("--detector", "yolox-nano", "--no-annotate")
    run = reelsift("detect", *options, "-clip.mp4", home=home)
    assert (run.returncode, run.stdout) == (2, "")
    advice = run.stderr.splitlines()[-1]
    assert advice == "error: -clip.mp4 is taken for an option. To name the file, write ./-clip.mp4"
    (video,) = answer("detect", *options, advice.split()[-1], home=home, REELSIFT_WEIGHTS=weights)["videos"]
    assert video["status"] == "done"
    (again,) = json.loads(
        reelsift("detect", *options, "--json", "--", "-clip.mp4", home=home, REELSIFT_WEIGHTS=weights).stdout
    )["videos"]
    assert again["status"] == "cached"
    run = reelsift("detect", "-w4w9Wg_XcQ", home=home)
    assert run.stderr.splitlines()[-1].endswith("write it last, behind --: -- -w4w9Wg_XcQ")
    assert "taken for" not in reelsift("detect", "--nonsense", home=home).stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param(["label", "apple.mp4", "--out", "apple.mp4"], "apple.mp4 is not a folder", id="out-is-a-file"),
        pytest.param(["detect", "apple.mp4", "--out", "apple.mp4/in"], "apple.mp4 is not a folder", id="out-in-a-file"),
        pytest.param(
            ["detect", "apple.mp4", "--out", "/proc/found"], "No such file or directory (/proc)", id="unwritable"
        ),
        pytest.param(["label", "apple.mp4", "--flow", "--out", "dangling"], "dangling is not a folder", id="dangling"),
        pytest.param(["detect", "apple.mp4", "--out", "caf\udce9"], "the name is not UTF-8 text", id="not-utf-8"),
        pytest.param(["dataset", "export", "apple.mp4/rows.csv"], "apple.mp4 is not a folder", id="export"),
        pytest.param(["dataset", "show", "--plot", "apple.mp4"], "apple.mp4 is not a folder", id="plot"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    command: list[str],
    message: str,
    home: Path,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (clip.parent / "dangling").symlink_to("nowhere")
    run = run_here(*command, home=home, monkeypatch=monkeypatch, capfd=capfd)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith("error: Nothing can be written to ")
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1  # nothing was opened or begun
    assert not home.exists()


@pytest.mark.parametrize(
    ("redirected", "message"),
    [
        pytest.param(">&-", "The standard output is closed", id="closed"),
        pytest.param("> /dev/full", "No space left on device", id="full"),
    ],
)
@pytest.mark.parametrize("command", ["detect apple.mp4 --detector yolox-nano", "vocabulary --json", "--version"])
def test_a_result_that_cannot_be_printed_is_told_before_the_work(
    redirected: str, message: str, command: str, home: Path, clip: Path
) -> None:
    run = in_shell(f"reelsift {command} {redirected}", home, clip.parent)
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("error: ")
    assert message in run.stderr
    assert not home.exists()


@pytest.mark.parametrize("redirected", [pytest.param("2>&-", id="closed"), pytest.param("2> /dev/full", id="full")])
def test_work_is_not_lost_for_what_is_said_beside_it(redirected: str, home: Path, synthetic_mirror: Path) -> None:
    command = f"reelsift shards plan --limit 1 --mirror {synthetic_mirror} {redirected}"
    run = in_shell(command, home, home.parent)
    assert (run.returncode, run.stdout.count(".tfrecord")) == (0, 4)
    failed = in_shell(f"reelsift dataset show {redirected}", home, home.parent)
    assert failed.returncode == 1


def test_a_reader_that_has_enough_is_no_error(home: Path, synthetic_mirror: Path) -> None:
    for form in ("--json", ""):
        command = f"reelsift vocabulary --mirror {synthetic_mirror} --search a {form} | head -c 1"
        run = in_shell(command, home, home.parent)
        assert (run.returncode, len(run.stdout), run.stderr) == (0, 1, "")


def test_a_terminal_without_unicode_gets_escapes(home: Path, clip: Path, weights: str) -> None:
    named = clip.with_name("caf\u00e9.mp4")
    clip.rename(named)
    options = ("--detector", "yolox-nano", "--no-annotate")
    where = {"REELSIFT_WEIGHTS": weights, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    shown = reelsift("detect", named, *options, home=home, **where)
    assert (shown.returncode, r"caf\xe9: ['apple']" in shown.stdout) == (0, True), shown.stderr
    (video,) = answer("detect", named, *options, home=home, **where)["videos"]
    assert video["title"] == "caf\u00e9"


def in_shell(command: str, home: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, with its redirections."""
    path = f"{REELSIFT.parent}:{os.environ['PATH']}"
    environment = os.environ | {"REELSIFT_HOME": str(home), "PATH": path}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
