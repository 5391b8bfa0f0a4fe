"""The files of an answer appear together."""

import json
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tasks.contracts.errors import OutputError
from tasks.contracts.files import is_whole, staged
from tests.contracts.publisher import FILES, MANIFEST, publish

ROUNDS = 100  # `make bench ONLY=publishing` has more, of real detections


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


def test_what_was_staged_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "video"
    with staged(folder, files=FILES, manifest="manifest") as stage:
        (stage / "frames").mkdir()
        (stage / "frames" / "0.jpg").touch()
        (stage / "video").touch()
        (stage / "manifest").write_text("old")
        assert names(folder) == {stage.name, "frames", "0.jpg", "video", "manifest"}
        assert not (folder / "manifest").exists()
    (folder / "objects.json").touch()  # of another stage
    with staged(folder, files=FILES, manifest="manifest") as stage:
        (stage / "table").touch()
        (stage / "manifest").write_text("new")
    assert names(folder) == {"table", "manifest", "objects.json"}
    assert (folder / "manifest").read_text() == "new"


def test_a_failure_leaves_the_old_answer(tmp_path: Path) -> None:
    with staged(tmp_path, files=FILES, manifest="manifest") as stage:
        (stage / "table").write_text("old")
        (stage / "manifest").touch()
    with suppress(KeyboardInterrupt), staged(tmp_path, files=FILES, manifest="manifest") as stage:
        (stage / "table").write_text("new")
        raise KeyboardInterrupt
    assert names(tmp_path) == {"table", "manifest"}
    assert (tmp_path / "table").read_text() == "old"


def test_a_first_failure_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), staged(tmp_path / "video", files=FILES, manifest="manifest"):
        raise ValueError("broken")
    assert not names(tmp_path)


def test_two_processes_at_once_leave_the_answer_of_one(tmp_path: Path) -> None:
    folder = tmp_path / "video"
    with ExitStack() as stack:
        both = [stack.enter_context(started(folder, name)) for name in ("one", "other")]
        for process in both:
            assert said(process) == "ready"
        winners = set()
        for number in range(ROUNDS):
            for process in both if number % 2 else reversed(both):
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
            assert [said(process) for process in both] == ["published", "published"]
            answer = json.loads((folder / MANIFEST).read_text())
            assert is_whole(folder, answer["files"]), f"a mixture in round {number}"
            assert set(answer["files"]) == {"table", "video", "frames/0", f"frames/{answer['by']}"}
            assert {(folder / name).read_text() for name in answer["files"]} == {answer["by"]}
            assert names(folder) == {*FILES, MANIFEST, "0", answer["by"]}
            winners.add(answer["by"])
    assert winners == {"one", "other"}


def started(folder: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.contracts.publisher", str(folder), name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_file_that_changed_or_went_is_no_whole_answer(tmp_path: Path) -> None:
    publish(tmp_path, "one")
    digests = json.loads((tmp_path / MANIFEST).read_text())["files"]
    assert is_whole(tmp_path, digests)
    (tmp_path / "frames" / "0").write_text("another")
    assert not is_whole(tmp_path, digests)
    (tmp_path / "frames" / "0").unlink()
    assert not is_whole(tmp_path, digests)
    assert not is_whole(tmp_path, {"../elsewhere": "0" * 64})
    assert not is_whole(tmp_path, {"/dev/zero": "0" * 64})


@pytest.mark.parametrize("is_there", [pytest.param(True, id="folder"), pytest.param(False, id="nothing")])
def test_a_link_that_leads_elsewhere_is_refused_and_what_is_there_stays(tmp_path: Path, *, is_there: bool) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    out.mkdir()
    if is_there:
        (elsewhere / "frames").mkdir(parents=True)
        (elsewhere / "frames" / "mine.jpg").touch()
    (out / "video").symlink_to(elsewhere)
    with pytest.raises(OutputError, match=r"out/video is a link to .*elsewhere"):
        publish(out / "video", "one")
    assert names(elsewhere) == ({"frames", "mine.jpg"} if is_there else set())


def test_links_within_an_answer_are_replaced_not_followed(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "out" / "video"
    elsewhere.mkdir()
    (elsewhere / "mine.jpg").write_text("mine")
    folder.mkdir(parents=True)
    for name in (*FILES, MANIFEST):
        (folder / name).symlink_to(elsewhere if name == "frames" else elsewhere / "mine.jpg")
    publish(folder, "one")
    assert names(elsewhere) == {"mine.jpg"}
    assert (elsewhere / "mine.jpg").read_text() == "mine"
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_a_folder_that_the_person_linked_as_a_whole_is_used(tmp_path: Path) -> None:
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "large-disk")
    publish(tmp_path / "out" / "video", "one")
    assert (tmp_path / "large-disk" / "video" / MANIFEST).is_file()
