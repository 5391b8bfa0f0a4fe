"""Lists of sources: one a line, each once, and a clear word where a list is none."""

import os
import threading
from pathlib import Path

import pytest

from tasks.contracts.errors import SourceError
from tasks.video import sources as source_list
from tasks.video.sources import SourceKind, listed, source_of


def test_each_source_counts_once_in_the_order_of_the_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# what to look at\n b.mp4 \n\nc.mp4\r\na.mp4\n", encoding="utf-8")
    assert listed(["a.mp4", f"@{path}", "b.mp4"]) == ["a.mp4", "b.mp4", "c.mp4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read: No such file", id="missing"),
        pytest.param(b"\xff\xfe\x00", "must be text, in UTF-8 or UTF-16, one source a line", id="binary"),
        pytest.param(b"\x00\x00\x00\x20ftypisom", "must be text, in UTF-8 or UTF-16", id="video"),
        pytest.param(b"# nothing\n", "There is no video in the list", id="empty"),
        pytest.param(b"x" * 100, "is over 0 MB: split it", id="huge"),
    ],
)
def test_what_is_no_list_is_said_to_be_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    monkeypatch.setattr(source_list, "LONGEST_LIST_BYTES", 99)
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        listed([f"@{path}"])


def test_a_list_that_is_a_pipe_is_read_where_somebody_writes_to_it(tmp_path: Path) -> None:
    """As a shell's `@<(command)` is; one that nobody writes to holds nothing."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SourceError, match="There is no video in the list"):
        listed([f"@{pipe}"])
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # a writer is let in once somebody reads
    with pipe.open("w") as writer:
        threading.Timer(0.2, lambda: (writer.write("a.mp4\n"), writer.close())).start()
        assert listed([f"@{pipe}"]) == ["a.mp4"]
    os.close(reading)


NAMES = ["a.mp4", "caf\u00e9 \u2028.mp4", "b.mp4"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_list_may_begin_with_a_mark_of_its_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    mark = "\ufeff" if encoding in {"utf-16-le", "utf-16-be"} else ""
    path.write_bytes((mark + "\r\n".join(NAMES)).encode(encoding))
    assert listed([f"@{path}"]) == NAMES


def test_the_list_of_an_editor_of_windows_is_read(real_data: Path) -> None:
    assert listed([f"@{real_data / 'faults' / 'video' / 'list_bom.txt'}"]) == ["base.mp4", "ABCD"]


def test_a_file_that_is_there_goes_before_what_its_name_means_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = ["@user.mp4", "#1.mp4", " led by a blank.mp4", "-v.mp4", "~user.mp4", "a\tb.mp4", "a\x0cb.mp4"]
    for name in odd:
        Path(name).touch()
    Path("list.txt").write_text("\n".join([*odd, "# a comment", " stripped.mp4 "]))
    assert listed(["@user.mp4", "@list.txt"]) == [*odd, "stripped.mp4"]
    Path("@list.txt").touch()
    assert listed(["@list.txt"]) == ["@list.txt"]


def test_one_line_that_is_no_utf_8_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"a.mp4\ncaf\xe9.mp4\nb.mp4\n")
    assert listed([f"@{path}"]) == ["a.mp4", r"caf\xe9.mp4", "b.mp4"]


def test_a_list_that_cannot_be_read_fails_alone_beside_others(tmp_path: Path) -> None:
    good, missing = tmp_path / "good.txt", f"@{tmp_path}/missing.txt"
    good.write_text("b.mp4\nZU9H\n@other.txt\n")
    assert listed(["a.mp4", missing, f"@{good}"]) == ["a.mp4", missing, "b.mp4", "ZU9H", "@other.txt"]
    with pytest.raises(SourceError, match=r"The list of videos .*missing\.txt cannot be read: No such file"):
        source_of(missing)
    with pytest.raises(SourceError, match=r"The list of videos other\.txt cannot be read: No such file"):
        source_of("@other.txt")
    with pytest.raises(SourceError, match="is a list within a list: give it to the command, beside the other one"):
        source_of(f"@{good}")
    assert source_of("ZU9H").kind is SourceKind.YT8M


def touched(folder: Path, *names: str) -> list[str]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return [str(folder / name) for name in names]


def test_a_folder_is_its_videos_and_those_below_it_on_request(tmp_path: Path) -> None:
    """Pipes and links to devices, which may never end, hidden files and other files are left out."""
    wanted = touched(tmp_path, "a.mp4", "b.MKV", "c.png", "below/d.webm", "below/deeper/e.mp4")
    touched(tmp_path, "notes.txt", ".hidden.mp4", "below/labels.json", ".git/f.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to("/dev/zero")
    (tmp_path / "round").symlink_to(tmp_path)
    assert listed([str(tmp_path)]) == wanted[:3]
    assert listed([str(tmp_path)], is_recursive=True) == wanted
    assert listed([f"{tmp_path}/", wanted[1], "ZU9H"]) == [*wanted[:3], "ZU9H"]
    (tmp_path / "list.txt").write_text(f"{tmp_path}/below\nZU9H\n")
    assert listed([f"@{tmp_path}/list.txt"]) == [wanted[3], "ZU9H"]


def test_a_pattern_is_the_files_that_it_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched(tmp_path, "tapes/a.mkv", "tapes/b.mkv", "tapes/c.mp4", "tapes/d.txt", "tapes/below/e.mkv", "odd[1].mp4")
    os.mkfifo(tmp_path / "tapes" / "pipe.mkv")
    monkeypatch.chdir(tmp_path)
    assert listed(["tapes/*.mkv"]) == ["tapes/a.mkv", "tapes/b.mkv"]
    assert listed(["tapes/*"]) == ["tapes/a.mkv", "tapes/b.mkv", "tapes/c.mp4"]
    assert listed(["tapes/?.txt", "**/e.mkv"]) == ["tapes/d.txt", "tapes/below/e.mkv"]
    assert listed(["odd[1].mp4"]) == ["odd[1].mp4"]  # a file of this name goes before what it would match
    for address in ("https://example.org/a?b=*", "youtube.com/watch?v=dQw4w9WgXcQ"):
        assert listed([address]) == [address]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tapes", "No video or picture in the folder .*tapes: its files .* `--recursive`"),
        ("tapes/*.mp4", "No file matches the pattern 'tapes/"),
        ("tapes/*", "No video or picture matches"),
    ],
)
def test_a_folder_or_a_pattern_without_videos_fails_alone(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched(tmp_path, "tapes/notes.txt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=message):
        listed([source])
    assert listed([source, "ZU9H"]) == [source, "ZU9H"]
    with pytest.raises(SourceError, match="No video '"):
        source_of(source)
