"""What a text names: a file, an address or an id."""

import os
from pathlib import Path

import pytest

from tasks.contracts.errors import RefusedSourceError, SourceError, VideoError
from tasks.video.config import MediaBounds
from tasks.video.picture import is_picture
from tasks.video.probe import probe
from tasks.video.sources import SourceKind, parse_source, typed_name


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param("https://example.org/a.mp4", SourceKind.URL, id="https"),
        pytest.param("HTTP://example.org/watch?v=1#t=3", SourceKind.URL, id="upper-case"),
        pytest.param("http://[2001:db8::1]/x", SourceKind.URL, id="ipv6"),
        pytest.param("dQw4w9WgXcQ", SourceKind.YOUTUBE, id="youtube"),
        pytest.param("-w4w9Wg_XcQ", SourceKind.YOUTUBE, id="youtube-that-begins-as-an-option"),
        pytest.param("ZU9H", SourceKind.YT8M, id="yt8m"),
        pytest.param(" ZU9H\n", SourceKind.YT8M, id="pasted-with-blanks"),
    ],
)
def test_addresses_and_ids_are_told_apart(text: str, kind: SourceKind) -> None:
    source = parse_source(text)
    assert (source.kind, source.text) == (kind, text.strip())


@pytest.mark.parametrize(
    "name", ["clip.mp4", "ZU9H", "dQw4w9WgXcQ", "http:odd", "a file", "@user.mp4", "~user.mp4", "-v.mp4", "a\nb"]
)
def test_a_file_that_is_there_goes_first(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    source = parse_source(name)
    assert source.kind is SourceKind.FILE
    assert source.path == tmp_path / name


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc/passwd",
        "ftp://example.org/a.mp4",
        "data:video/mp4;base64,AAAA",
        "ytsearch:cats",
        "javascript:alert(1)",
        "http:example.org",
        "rtmp://example.org/live",
    ],
)
def test_other_schemes_are_refused(text: str) -> None:
    with pytest.raises(RefusedSourceError, match="only http and https are"):
        parse_source(text)


def test_orders_to_ytdlp_within_an_address_are_refused() -> None:
    with pytest.raises(RefusedSourceError, match="orders to yt-dlp"):
        parse_source("https://example.org/#__youtubedl_smuggle=%7B%22to_generic%22%3A+true%7D")


@pytest.mark.parametrize(
    "text", ["http://", "http:///a.mp4", "http://[::1", "https://a b/c", "http://example.org/a\nb", "http://a\x1b[31m"]
)
def test_an_address_needs_a_host_and_no_blanks(text: str) -> None:
    with pytest.raises(SourceError, match="is no address") as caught:
        parse_source(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    ["", "nothing.mp4", "ZU9", "ZU9Hx", "dQw4w9WgXcQQ", "ZU9/", "a\0b", "x" * 5000, "~nobody-at-all/x", "Zü9H"],
)
def test_what_is_nothing_is_told_what_there_is(text: str) -> None:
    with pytest.raises(
        SourceError, match=r"no such file.* A source is a file, a folder, an http\(s\) address, a YouTube id"
    ):
        parse_source(text)


def test_a_name_that_is_no_utf_8_is_told_to_be_renamed(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path / "caf") + b"\xe9.mp4"
    Path(os.fsdecode(raw)).touch()
    name = typed_name(os.fsdecode(raw))
    assert name.endswith(r"caf\xe9.mp4")
    with pytest.raises(SourceError, match="the name of that file is not UTF-8 text, rename it"):
        parse_source(name)


def test_a_folder_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="that is a folder with no video or picture in it"):
        parse_source(str(tmp_path))


def test_an_address_without_its_scheme_is_recognised() -> None:
    with pytest.raises(SourceError, match=r"for an address write https://youtu\.be/dQw4w9WgXcQ"):
        parse_source("youtu.be/dQw4w9WgXcQ")


def test_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opened one would wait for ever, or read for ever."""
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "ZU9H")  # though its name is an id as well
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="a pipe or a device, which may never end"):
        parse_source("ZU9H")
    for name in ("pipe.mp4", "link.mp4"):
        with pytest.raises(SourceError, match="a pipe or a device, which may never end"):
            parse_source(str(tmp_path / name))
        assert not is_picture(tmp_path / name)
        with pytest.raises(VideoError, match="is no file"):
            probe(tmp_path / name, MediaBounds())
