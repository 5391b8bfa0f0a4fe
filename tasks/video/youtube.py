"""What YouTube asks of its guests: a pause between videos, and cookies where it will not take them for people."""

import fcntl
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tasks.contracts.errors import RefusedSourceError

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
