"""Homes, servers, databases and proxies that cannot be used: one line, soon, and nothing sent astray."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.reelsift.test_cli import reelsift

WITHIN_S = 15.0
BUILD = ("dataset", "build", "--label", "Cooking", "--mirror")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def refused(run: subprocess.CompletedProcess[str], *words: str) -> None:
    assert run.returncode == 1, run.stderr
    lines = [line for line in run.stderr.splitlines() if not line.startswith(("bytes:", "records:"))]
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("error: ")
    assert all(word in lines[0] for word in words), lines[0]
    assert "secret" not in run.stderr


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        pytest.param("PREFECT_API_URL", "http://127.0.0.1:9/api", ("PREFECT_API_URL", ":9/api"), id="no-server"),
        pytest.param("PREFECT_API_URL", "http://127.0.0.1:{silent}/api", ("no Prefect server answers",), id="silent"),
        pytest.param("PREFECT_API_URL", "not an address", ("PREFECT_API_URL",), id="no-address"),
        pytest.param(
            "PREFECT_SERVER_DATABASE_CONNECTION_URL",
            "postgresql+asyncpg://me:secret@127.0.0.1:9/prefect",
            ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "127.0.0.1:9"),
            id="no-database",
        ),
        pytest.param(
            "PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+nonsense://h:x/", ("DATABASE_CONNECTION",), id="no-port"
        ),
    ],
)
def test_a_server_that_does_not_answer_is_one_line(
    home: Path, synthetic_mirror: Path, silent: int, name: str, value: str, words: tuple[str, ...]
) -> None:
    began_s = time.monotonic()
    run = reelsift(*BUILD, synthetic_mirror, home=home, **{name: value.format(silent=silent)})
    assert time.monotonic() - began_s < WITHIN_S
    refused(run, *words)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.parametrize("options", ["size=3m", "ro"], ids=["full", "read-only"])
def test_a_home_that_cannot_be_written_to_is_one_line(home: Path, synthetic_mirror: Path, options: str) -> None:
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(home)], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        began_s = time.monotonic()
        run = reelsift(*BUILD, synthetic_mirror, home=home, REELSIFT_DOWNLOAD__RESERVE_BYTES="0")
        assert time.monotonic() - began_s < WITHIN_S
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)
    refused(run, str(home), "No space" if options == "size=3m" else "Read-only")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_stack_on_a_full_disk_is_one_line(home: Path) -> None:
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(home)], check=False).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with suppress(OSError), (home / "full").open("wb") as file:
            file.write(bytes(300 << 10))
        began_s = time.monotonic()
        run = reelsift("up", home=home)
        assert time.monotonic() - began_s < WITHIN_S
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)
    refused(run, str(home), "No space")


def test_loopback_never_goes_through_a_proxy(
    home: Path, synthetic_mirror: Path, with_tables: Callable[[Path], Path]
) -> None:
    """With every variable there is, of every kind; and a password for a stack that does not run."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def record() -> None:
            try:
                while True:
                    connection, _ = proxy.accept()
                    connection.settimeout(1)
                    seen.append(connection.recv(100))
                    connection.close()
            except OSError:
                return

        threading.Thread(target=record, daemon=True).start()
        address = f"127.0.0.1:{proxy.getsockname()[1]}"
        run = reelsift(
            *BUILD,
            synthetic_mirror,
            home=with_tables(home),
            HTTP_PROXY=f"http://{address}",
            https_proxy=f"http://{address}",
            ALL_PROXY=f"socks://{address}",  # as desktops write it
            NO_PROXY="internal.example",
            PREFECT_SERVER_API_AUTH_STRING="me:exported-for-another-day",
        )
        proxy.shutdown(socket.SHUT_RDWR)
    assert run.returncode == 0, run.stderr
    assert seen == []
