"""What YouTube needs: YouTube-8M ids resolved, a pause between videos, and cookies."""

import fcntl
import os
import re
import stat
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tasks.contracts.errors import FetchError, RefusedSourceError, WithdrawnVideoError
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import Source, resolve, shown
from tasks.shards.sources import make_client, through

HOSTS = ("youtube.com", "youtu.be", "youtube-nocookie.com", "youtubekids.com")
COOKIE_HOST = "youtube.com"
COOKIE_HEADER = "# Netscape HTTP Cookie File\n"
COOKIE_FIELDS = 7  # host, subdomains, path, https, expiry, name, value
HTTP_ONLY = "#HttpOnly_"  # before the host of a cookie that scripts may not read; no comment
LARGEST_COOKIES_BYTES = 8 << 20
TURN_NAME = ".youtube-turn"

HOW_TO_EXPORT = (
    "open a private window of your browser, sign in at youtube.com, export the cookies of that tab with an extension "
    "as cookies.txt (Netscape format), close the window, `chmod 600 cookies.txt`, and name the file in "
    "`fetch.cookies_file`: REELSIFT_FETCH__COOKIES_FILE=/path/to/cookies.txt"
)


def is_on_youtube(address: str) -> bool:
    """Say whether an address is one of YouTube's pages."""
    return _is_below(urlsplit(address).hostname or "", HOSTS)


@dataclass(frozen=True)
class Turns:
    """The turns at YouTube of all processes that share a cache: one video begins `pause_s` after the other."""

    cache: Path
    pause_s: float

    def take(self) -> None:
        """Wait for a turn. Those who wait stand in line for the lock, so each of them waits for its own."""
        if not self.pause_s:
            return
        self.cache.mkdir(parents=True, exist_ok=True)
        with (self.cache / TURN_NAME).open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last = os.fstat(file.fileno())
            since_s = time.time() - last.st_mtime
            if last.st_size and 0 <= since_s < self.pause_s:  # a clock that was set back makes nobody wait for long
                time.sleep(self.pause_s - since_s)
            file.truncate(0)
            file.write("taken\n")  # the time of this is the turn's


def youtube_cookies(path: Path) -> str:
    """Return what a browser's `cookies.txt` holds for YouTube; cookies of other sites are left where they are.

    A pipeline fetches what strangers name, so nothing else of a person's browser may go out with it.

    Raises:
        RefusedSourceError: the file is missing, is no cookies.txt, or can be read by others; no cookie is quoted.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            _check_private(path, os.fstat(file.fileno()))
            text = file.read(LARGEST_COOKIES_BYTES)
    except OSError as error:
        raise RefusedSourceError(
            f"The cookies in {path} cannot be read: {error.strerror or error}. Name another file in "
            "`fetch.cookies_file`, or unset it."
        ) from error
    lines = [line for each in text.splitlines() if (line := _youtube_line(each))]
    if not lines:
        raise RefusedSourceError(
            f"{path} holds no cookies of {COOKIE_HOST} in the Netscape format. To make it, {HOW_TO_EXPORT}."
        )
    return COOKIE_HEADER + "".join(f"{line}\n" for line in lines)


def _check_private(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise RefusedSourceError(f"The cookies in {path} are not read: it is no ordinary file.")
    if found.st_uid != os.geteuid():
        raise RefusedSourceError(
            f"The cookies in {path} are not used: the file belongs to another account, and who has them is signed in "
            f"as you. Make a copy of your own: `install -m 600 {path} cookies.txt`."
        )
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise RefusedSourceError(
            f"The cookies in {path} are not used: other accounts of this machine can get at them (mode "
            f"{stat.S_IMODE(found.st_mode):04o}), and who has them is signed in as you. `chmod 600 {path}`, and "
            "export them again if others use this machine."
        )


def _youtube_line(line: str) -> str | None:
    """Return a cookie of YouTube's, to be sent over https alone; None for all else."""
    bare = line.removeprefix(HTTP_ONLY)
    fields = bare.split("\t")
    if len(fields) != COOKIE_FIELDS or bare.startswith("#") or not _is_below(fields[0].lstrip("."), (COOKIE_HOST,)):
        return None
    host, subdomains, path, _https, expires, name, value = fields
    if expires and not expires.replace(".", "", 1).isdecimal():
        return None
    return f"{host}\t{subdomains}\t{path}\tTRUE\t{expires}\t{name}\t{value}"


def _is_below(host: str, hosts: tuple[str, ...]) -> bool:
    return any(f".{host.lower()}".endswith(f".{each}") for each in hosts)


ANSWER = re.compile(r'\s*i\("(?P<asked>[A-Za-z0-9]{4})","(?P<found>[A-Za-z0-9_-]{11})"\);?\s*')
GONE = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
LARGEST_ANSWER = 4096  # bytes; an id takes 24


def resolve_yt8m_id(video_id: str, download: DownloadConfig) -> str:
    """Return the YouTube id of a video of YouTube-8M.

    Raises:
        MirrorError: `video_id` is not four letters or digits, or a mirror cannot be used.
        WithdrawnVideoError: the dataset's hosts no longer name the video.
        FetchError: no host could be asked, or what it said is no answer.
    """
    reasons = []
    with make_client(download) as client:
        for source in resolve(download).youtube_id(video_id):
            try:
                answer = _answer(client, source)
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                reasons.append(f"{shown(source)}: {error or type(error).__name__}{_through(source)}")
                continue
            return _judged(video_id, answer, source)
    raise FetchError(f"The YouTube id of {video_id} could not be asked for: {'; '.join(reasons)}. Try again later.")


def _answer(client: httpx.Client, source: Source) -> str | None:
    """Return what a host says; None where it says that there is nothing."""
    if isinstance(source, Path):
        return source.read_bytes()[:LARGEST_ANSWER].decode("utf-8", "replace") if source.is_file() else None
    with client.stream("GET", source) as response:
        if response.status_code in GONE:
            return None
        response.raise_for_status()
        start = next(response.iter_bytes(LARGEST_ANSWER), b"")
        return start.decode("utf-8", "replace")


def _judged(video_id: str, answer: str | None, source: Source) -> str:
    if answer is None or "AccessDenied" in answer or "NoSuchKey" in answer:
        raise WithdrawnVideoError(
            f"The video {video_id} has been withdrawn: YouTube-8M no longer names it. Take another one of its label."
        )
    match = ANSWER.fullmatch(answer)
    if match is None or match["asked"] != video_id:
        raise FetchError(f"{shown(source)} gives no id of {video_id}, but {answer[:60]!r}. Try another mirror.")
    return match["found"]


def _through(source: Source) -> str:
    return through(source) if isinstance(source, str) else ""
