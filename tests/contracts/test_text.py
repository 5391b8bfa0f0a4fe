"""Text from strangers stays text: on a terminal, in Markdown, in a spreadsheet; and no address shows its password."""

import csv
import io
import re
import time

import pytest

from tasks.contracts.errors import ReelsiftError
from tasks.contracts.media import VideoOutcome
from tasks.contracts.text import (
    has_secrets,
    in_csv,
    in_markdown,
    inert,
    markdown_row,
    one_line,
    seconds,
    shown,
    without_secrets,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("\x1b[2J\x1b[31mred\x1b[0m", "red", id="colours and a cleared screen"),
        pytest.param("a\x1b]0;owned\x07b", "ab", id="the title of a window"),
        pytest.param("a\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "alink", id="a hyperlink"),
        pytest.param("a\x1b]52;c;cm0gLXJm", "a52;c;cm0gLXJm", id="an unfinished write to the clipboard"),
        pytest.param("a\x9b31mb\x9d0;t\x9cc", "abc", id="one-byte introducers"),
        pytest.param("a\x1bPq#0\x1b\\b", "ab", id="a picture by DCS"),
        pytest.param("abc\rdef\x08\x7f", "abc def", id="carriage return, backspace, delete"),
        pytest.param("photo_\u202egnp.exe", "photo_gnp.exe", id="right to left"),
        pytest.param("a\u200b\ufeffb\ue000", "ab", id="what cannot be seen"),
        pytest.param("\udcff.mp4", ".mp4", id="half a surrogate pair"),
        pytest.param("two\nlines\u2028three", "two lines three", id="line breaks"),
        pytest.param("👩‍🍳 می‌خواهم", "👩‍🍳 می‌خواهم", id="joiners stay"),
        pytest.param(
            "pay\u200dpal\u200c.com é\u200c\u200cé é\u200d\u200d", "paypal.com é\u200cé é", id="joiners of nothing"
        ),
        pytest.param("a\u2066b\u2069\u2060\u00ad\u034f\u3164\u2800\u115fc", "abc", id="isolates and fillers"),
        pytest.param("a\U000e0041\U000e007fb", "ab", id="tags"),
        pytest.param("Größe 10 µm, 日本語", "Größe 10 µm, 日本語", id="letters of all kinds stay"),
    ],
)
def test_a_terminal_is_given_no_orders(text: str, line: str) -> None:
    assert one_line(text) == line
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", inert(text))


def test_layout_stays_where_it_is_ours() -> None:
    assert inert("  a\tb\n  c") == "  a\tb\n  c"


def test_long_text_is_cut() -> None:
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abcd", 4) == "abcd"


@pytest.mark.parametrize(
    ("address", "clean"),
    [
        ("https://user:pass@host/a.mp4", "https://***@host/a.mp4"),
        ("http://token@host:8080", "http://***@host:8080"),
        ("https://user:p@ss@host/x", "https://***@host/x"),
        ("socks5://u:p@127.0.0.1:1080", "socks5://***@127.0.0.1:1080"),
        ("s3://AKIA:se/cr+et@bucket/prefix", "s3://***@bucket/prefix"),
        (
            "s3://bucket/p?endpoint_override=http%3A%2F%2Fkey%3Asecret%40host%3A9000&region=x",
            "s3://bucket/p?endpoint_override=http%3A%2F%2F***%40host%3A9000&region=x",
        ),
        (
            "s3://bucket/p?endpoint_override=http://key:secret@host:9000",
            "s3://bucket/p?endpoint_override=http://***@host:9000",
        ),
        ("s3://b/p?access_key=AKIA&secret_key=abc&scheme=http", "s3://b/p?access_key=***&secret_key=***&scheme=http"),
        (
            "https://b.s3.amazonaws.com/v.mp4?X-Amz-Credential=AK%2F2&X-Amz-Date=1&X-Amz-Signature=ff",
            "https://b.s3.amazonaws.com/v.mp4?X-Amz-Credential=***&X-Amz-Date=1&X-Amz-Signature=***",
        ),
        ("https://a.blob.core.windows.net/v?sv=1&sig=abc%3D", "https://a.blob.core.windows.net/v?sv=1&sig=***"),
        ("get 'http://u:p@h/a' failed, then http://v:q@i/b", "get 'http://***@h/a' failed, then http://***@i/b"),
        ("postgresql+asyncpg://prefect:pw@db/prefect", "postgresql+asyncpg://***@db/prefect"),
    ],
)
def test_no_address_shows_its_password(address: str, clean: str) -> None:
    assert without_secrets(address) == clean
    assert without_secrets(clean) == clean
    assert has_secrets(address)


@pytest.mark.parametrize(
    "text",
    [
        "https://www.youtube.com/@somebody/videos",
        "https://host/path@v2?page=3",
        "write to a@b.c, or see http://host",
        "/home/me/clips/a@b//c.mp4",
        "cooking@champion",
        "@list.txt",
        "https://host/a%20b?name=x%2Fy&v=dQw4w9WgXcQ",
    ],
)
def test_addresses_without_secrets_stay_as_they_are(text: str) -> None:
    assert without_secrets(text) == text
    assert not has_secrets(text)


def test_errors_and_outcomes_are_clean_from_the_start() -> None:
    error = ReelsiftError("http://u:p@h answers\x1b]0;x\x07\nBad :x: [red]")
    assert str(error) == "http://***@h answers Bad :x: [red]"
    outcome = VideoOutcome(source="https://u:p@h/a", status="failed", reason="a\x1b[1mb", title="t\x07")
    assert (outcome.source, outcome.reason, outcome.title) == ("https://***@h/a", "ab", "t")


HOSTILE = (
    "![x](http://evil.example/p.png) <img src=http://evil.example/q.png> | [a](javascript:b) # `c` www.evil.example"
)


def test_markdown_finds_nothing_of_its_own() -> None:
    """Compared with markdown-it, a CommonMark parser: the text comes out as it went in, and nothing but text."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    for text in (HOSTILE, "- a", "+ b", "# c", "=== d", "*e* __f__ ~~g~~", "a@b.c &amp; \\", "1 | 2"):
        (_, inline, _) = parser.parse(in_markdown(text))
        assert {child.type for child in inline.children or []} <= {"text", "text_special"}, text
        assert "".join(child.content for child in inline.children or []) == " ".join(text.split())


def test_the_texts_of_a_row_are_inert_and_its_numbers_stay_numbers() -> None:
    assert markdown_row({"a": "*x*", "b": 0.5, "c": None}) == {"a": r"\*x\*", "b": 0.5, "c": None}


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\uff1d1+1", '=HYPERLINK("http://e")']
)
def test_no_cell_is_computed(cell: str) -> None:
    assert in_csv(cell) == f"'{cell}"
    assert in_csv(f"\x1b[2J\u202e{cell}") == f"'{cell}"
    written = io.StringIO()
    csv.writer(written).writerow([in_csv(cell)])
    assert not re.match(r'"?[=+\-@\t\r\uff1d]', written.getvalue())


@pytest.mark.parametrize("cell", ["Cooking|Food", "-0.5", "+1,000", "-abcdefghij", "Xz9H", "a=b", ""])
def test_ids_numbers_and_names_stay_as_they_are(cell: str) -> None:
    assert in_csv(cell) == cell


def test_shown_is_all_of_it() -> None:
    assert shown("http://u:p@h\x1b[2J\n x") == "http://***@h x"


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "/",
        "//a",
        "s3://",
        "s3://a:",
        "=",
        "=%40",
        "&secret",
        "&a.",
        "\x9d",
        "\x1b]",
        "\x1b[0",
        "www.",
        ":",
        "@",
        "\\",
    ],
)
def test_no_text_is_slow_to_show(piece: str) -> None:
    """Six seconds are what a quadratic pattern takes many times over, and a linear one never on any machine."""
    text = piece * (200_000 // len(piece))
    started_s = time.monotonic()
    in_markdown(text, 100)
    assert time.monotonic() - started_s < 6


@pytest.mark.parametrize(
    ("written", "time_s"),
    [("12.5", 12.5), (".5", 0.5), ("0:07", 7), ("1:02:03.25", 3723.25), ("90:00", 5400), (" 3 ", 3), ("", None)],
)
def test_a_time_is_read_as_people_write_it(written: str, time_s: float | None) -> None:
    assert seconds(written) == time_s


@pytest.mark.parametrize("written", ["-1", "1:60", "1:2:3:4", "x", "1e3", "nan", "1:", "999999999"])
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="a time "):
        seconds(written)
