"""The files of an answer appear together."""

from contextlib import suppress
from pathlib import Path

import pytest

from tasks.contracts.staging import staged

FILES = ("table", "video", "frames")


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
