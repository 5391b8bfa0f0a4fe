"""JavaScript of strangers, run by the environment's own deno with no permission: no network, no file, no program.

YouTube's player computes a part of each file's address; yt-dlp-ejs cuts that part out of the player, and it has to run.
"""

import importlib.metadata
import json
import os
import resource
import signal
import subprocess
import sysconfig
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Thread

import psutil

LONGEST_S = 60.0  # of one script; real players take one to three seconds on one core
LARGEST_MEMORY_BYTES = 1 << 30  # of the process; real players take 300 MB
LARGEST_OUTPUT_BYTES = 32 << 20  # an answer holds the player without comments, 3 MB
LONGEST_REASON = 2000  # bytes of what it says of an error
POLL_S = 0.05

# Nothing is allowed, nothing is asked, nothing is fetched, and no configuration of the account or folder counts.
# https://docs.deno.com/runtime/fundamentals/security/
CONFINED = (
    "run",
    "--ext=js",
    "--no-prompt",
    "--no-remote",
    "--no-npm",
    "--cached-only",
    "--no-config",
    "--no-lock",
    "--node-modules-dir=none",
    "--no-code-cache",
    f"--v8-flags=--max-old-space-size={LARGEST_MEMORY_BYTES // 2 >> 20}",
    "-",
)
# deno lets the text that it starts with import files by name, without a permission; what is evaluated cannot.
LAUNCHER = "(0, eval)({});"


class ScriptError(Exception):
    """A script failed, or was ended because it took too much."""


@cache
def deno_path() -> Path | None:
    """Return the deno of this environment's own `bin`; never one of the PATH."""
    path = Path(sysconfig.get_path("scripts")) / "deno"
    return path if path.is_file() and os.access(path, os.X_OK) else None


@cache
def deno_version() -> str:
    """Return the version of the installed package, which is the binary's."""
    return importlib.metadata.version("deno")


def run_script(script: str) -> str:
    """Run a script and return what it printed.

    Raises:
        ScriptError: it failed, or took too long or too much memory, or printed too much.
    """
    path = deno_path()
    if path is None:
        raise ScriptError("this environment has no deno: install it again (`make install`)")
    with (
        tempfile.TemporaryDirectory(prefix="reelsift-deno-") as folder,
        tempfile.TemporaryFile() as printed,  # files, as these can be bounded
        tempfile.TemporaryFile() as said,
    ):
        process = subprocess.Popen(  # noqa: S603 - our own binary with fixed arguments; the script comes on stdin
            [path, *CONFINED],
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=said,
            cwd=folder,
            env={"HOME": folder, "DENO_DIR": folder, "NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1"},
            start_new_session=True,  # so that Ctrl-C ends it by us, with its folder
        )
        feeder = Thread(target=_feed, args=(process, LAUNCHER.format(json.dumps(script)).encode()), daemon=True)
        try:
            _bound(process.pid)
            feeder.start()
            _watch(process)
        finally:
            process.kill()
            process.wait()
            if feeder.ident:
                feeder.join()
        if process.returncode:
            said.seek(0)
            raise ScriptError(_reason(process.returncode, said.read(LONGEST_REASON).decode("utf-8", "replace")))
        printed.seek(0)
        return printed.read().decode()


def _bound(pid: int) -> None:
    """Bound the process before it is given the script; macOS cannot bound others, there the watch below has to do."""
    if hasattr(resource, "prlimit"):
        for limit, most in (
            (resource.RLIMIT_DATA, LARGEST_MEMORY_BYTES),
            (resource.RLIMIT_CPU, round(LONGEST_S)),
            (resource.RLIMIT_FSIZE, LARGEST_OUTPUT_BYTES),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.prlimit(pid, limit, (most, most))


def _feed(process: subprocess.Popen[bytes], script: bytes) -> None:
    """Give the process its script, as fast as it reads."""
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(script)


def _watch(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process ends.

    Raises:
        ScriptError: it has to be ended.
    """
    deadline_s = time.monotonic() + LONGEST_S
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
            return
        if time.monotonic() > deadline_s:
            raise ScriptError(f"it ran for more than {LONGEST_S:g} s")
        if _memory_bytes(process.pid) > LARGEST_MEMORY_BYTES:
            raise ScriptError(f"it took more than {LARGEST_MEMORY_BYTES >> 20} MiB of memory")


def _memory_bytes(pid: int) -> int:
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:  # it has just ended
        return 0


def _reason(returncode: int, said: str) -> str:
    if returncode == -signal.SIGXFSZ:
        return f"it printed more than {LARGEST_OUTPUT_BYTES >> 20} MiB"
    if returncode == -signal.SIGXCPU:
        return f"it ran for more than {LONGEST_S:g} s"
    if returncode < 0:
        return f"it was ended by {signal.Signals(-returncode).name}, as when the memory that it may take runs out"
    return " ".join(said.split()) or f"it ended with {returncode}"
