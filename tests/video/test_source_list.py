"""Lists of sources: one a line, each once, and a clear word where a list is none."""

from pathlib import Path

import pytest

from tasks.contracts.errors import SourceError
from tasks.video import source_list
from tasks.video.source_list import listed


def test_each_source_counts_once_in_the_order_of_the_list(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# what to look at\n b.mp4 \n\nc.mp4\r\na.mp4\n", encoding="utf-8")
    assert listed(["a.mp4", f"@{path}", "b.mp4"]) == ["a.mp4", "b.mp4", "c.mp4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read: No such file", id="missing"),
        pytest.param(b"\xff\xfe\x00", "must be UTF-8 text, one source a line", id="binary"),
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
