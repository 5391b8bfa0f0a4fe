"""Text from strangers and addresses with passwords, made fit to be shown: on a terminal, in Markdown, in HTML, in CSV.

Labels, titles, file names, HTTP reason phrases and sources come from outside. Each place that shows one calls a
function of this module: one answer to what a terminal, a page or a spreadsheet would take for an order.
"""

import html
import re
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import chain, count
from pathlib import PurePath
from urllib.parse import quote, unquote

HIDDEN = "***"
# Control characters (ESC begins the orders of a terminal), surrogates, private use, and format characters, which turn
# the direction of all that follows. Joiners are format characters that words and emoji need, but none of ASCII.
UNSEEN = {"Cc", "Cs", "Co", "Cf"}
JOINERS = {"\u200c", "\u200d"}
LAYOUT = {"\n", "\t"}
JOINER = "[\u200c\u200d]"
IDLE_JOINERS = re.compile(rf"(?<![^\x00-\x7f]){JOINER}+|{JOINER}+(?![^\x00-\x7f])|(?<={JOINER}){JOINER}+")
# Letters, marks and a symbol by their category, which show nothing: a grapheme joiner, fillers of Hangul and Khmer, an
# empty pattern of Braille; and the separators of lines and paragraphs.
BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2028\u2029\u2800\u3164\uffa0")
# ECMA-48: CSI sequences, OSC, DCS, SOS, PM and APC strings, and two-character escapes, whole where they are whole.
SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# What may be a mark of CommonMark, of GitHub's tables and of MLflow's renderer. `:` and `.` stand for bare addresses.
MARKS = re.compile(r"([\\`*_\[\]|~#!]|(?<=[a-zA-Z]):(?=//)|(?<=\b[wW]{3})\.|^[-+=])")
# How a cell begins that a spreadsheet computes (OWASP, "CSV Injection"); the last four are the wide forms of the first.
FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
PLAIN_CELL = re.compile(r"[+-]?[0-9.,]+(?:[eE][+-]?[0-9]+)?|-?[A-Za-z0-9_-]{4,11}")  # a number, or the id of a video

# `//user:password@host`; a password with an unescaped slash is met in the keys of object stores. Repetitions are
# bounded, or end where the next match could begin: the time is linear in a text that was made for the opposite.
USER_INFO = re.compile(r"//[^\s/?#'\"<>]+@")
STORE_KEYS = re.compile(r"(?P<scheme>\b(?:s3a?|gc?s|abfss?|az|wasbs?)://)(?P<user>[^\s?#'\"<>]{0,200})@")
# A query's key that means a secret: those of signed addresses (AWS, Google, Azure) and of pyarrow's options among them.
SECRET_VALUE = re.compile(
    r"(?P<name>[?&;](?:[a-z0-9._-]{0,40}"
    r"(?:secret|token|password|passwd|signature|credential|(?:api|access)[-_]?key)[a-z0-9._-]{0,40}"
    r"|sig|key|auth|pwd|pass)=)[^&;#\s'\"<>]+",
    re.IGNORECASE,
)
# An address within an address, e.g. `endpoint_override=http%3A%2F%2Fuser%3Apassword%40host`.
PACKED = re.compile(r"(?<==)[^=&;#\s'\"<>]*%[0-9a-fA-F]{2}[^=&;#\s'\"<>]*")


def without_secrets(text: str) -> str:
    """Return text in which addresses have no user, password, key or signature: `https://***@host/a?token=***`."""
    text = STORE_KEYS.sub(lambda match: f"{match['scheme']}{HIDDEN}@" if ":" in match["user"] else match[0], text)
    text = USER_INFO.sub(f"//{HIDDEN}@", text)
    text = PACKED.sub(lambda match: _repacked(match[0]), text)
    return SECRET_VALUE.sub(rf"\g<name>{HIDDEN}", text)


def has_secrets(text: str) -> bool:
    """Say whether an address holds what must not be shown."""
    return without_secrets(text) != text


def inert(text: str) -> str:
    """Return text that gives a terminal no orders and hides nothing; line breaks and blanks stay as they are."""
    seen = "".join(each for each in SEQUENCE.sub("", text) if each in LAYOUT or each in JOINERS or _is_seen(each))
    return IDLE_JOINERS.sub("", seen)


def one_line(text: str, longest: int | None = None) -> str:
    """Return inert text on one line, cut to `longest` characters with an ellipsis."""
    line = " ".join(inert(" ".join(text.split())).split())
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"


def shown(text: str, longest: int | None = None) -> str:
    """Return text as a message may quote it: one line, inert, without secrets."""
    return one_line(without_secrets(text), longest)


LONGEST_NAME = 100  # characters of what a run is called: lists of runs show so much on one line


def in_list(what: str, sources: Sequence[str], longest: int = LONGEST_NAME) -> str:
    """Name sources as the name of a run does: `clip.mp4`, or `3 videos: clip.mp4, …`; files without their folders."""
    names = [one_line(_short_name(each)) for each in sources[:longest]]
    counted = "" if len(sources) == 1 else f"{len(sources):,} {what}: "
    return one_line(counted + ", ".join(names), longest)


def _short_name(source: str) -> str:
    plain = without_secrets(source)
    return plain if "://" in plain else PurePath(plain).name or plain


def in_markdown(text: str, longest: int | None = None) -> str:
    """Return text in which Markdown and HTML find nothing of theirs: no picture, link, table cell or element."""
    escaped = MARKS.sub(r"\\\1", html.escape(shown(text, longest), quote=False))
    return escaped.replace("@", "&#64;")


def markdown_row(row: Mapping[str, object]) -> dict[str, object]:
    """Return a table's row in which every text is inert: Prefect's pages render the cells of a table as Markdown."""
    return {name: in_markdown(value) if isinstance(value, str) else value for name, value in row.items()}


def html_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table whose cells are text, whatever they hold."""
    lines = [_html_row("th", heads), *(_html_row("td", row) for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def _html_row(kind: str, cells: Sequence[object]) -> str:
    return "<tr>" + "".join(f"<{kind}>{html.escape(shown(str(cell)))}</{kind}>" for cell in cells) + "</tr>"


def in_csv(text: str) -> str:
    """Return an inert cell that no spreadsheet computes: what would begin a formula gets an apostrophe before it."""
    text = inert(text)
    return f"'{text}" if FORMULA.match(text) and not PLAIN_CELL.fullmatch(text) else text


def _repacked(value: str) -> str:
    """Hide the secrets of an address that is the percent-encoded value of another's query."""
    plain = unquote(value)
    hidden = without_secrets(plain)
    return value if hidden == plain else quote(hidden, safe=HIDDEN)


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in UNSEEN and character not in BLANK


LARGEST_SHOWN = 1e9  # seconds, frames a second, or pixels of a result: what is beyond is damage


def clock(seconds: float) -> str:
    """Write a time in a video as people do: `0:07`, `1:02:03`; tenths where there are any."""
    whole, tenths = divmod(round(seconds * 10), 10)
    hours, rest = divmod(whole, 3600)
    text = f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
    return f"{text}.{tenths}" if tenths else text


def file_time(seconds: float) -> str:
    """Write a time as a name of a file can hold it: `0m14.7s`, `1h02m03s`."""
    whole, hundredths = divmod(round(seconds * 100), 100)
    rest = f".{hundredths:02}".rstrip("0") if hundredths else ""
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}h{minutes:02}m{whole % 60:02}{rest}s" if hours else f"{minutes}m{whole % 60:02}{rest}s"


def free_name(stem: str, taken: Container[str]) -> str:
    """Return a name that is not taken: the stem, or that with a number behind it."""
    return next(name for name in chain([stem], (f"{stem}-{number}" for number in count(2))) if name not in taken)


LONGEST_CLOCK_S = 7 * 24 * 3600.0
CLOCK_PATTERN = re.compile(r"(?:(?:(?P<hours>\d{1,3}):)?(?P<minutes>\d{1,2}):)?(?P<seconds>\d+(?:\.\d*)?|\.\d+)")


def seconds(time: str | None) -> float | None:
    """Return a time in a video, as people write it, in seconds.

    Raises:
        ValueError: it is none.
    """
    if time is None or not time.strip():
        return None
    found = CLOCK_PATTERN.fullmatch(time.strip())
    if not found or (found["minutes"] and float(found["seconds"]) >= 60):
        raise ValueError("a time is written in seconds (12.5), m:ss or h:mm:ss, from 0 on")
    time_s = 3600 * int(found["hours"] or 0) + 60 * int(found["minutes"] or 0) + float(found["seconds"])
    if time_s > LONGEST_CLOCK_S:
        raise ValueError("a time must be within a week")
    return time_s
