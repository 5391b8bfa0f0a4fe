"""The Prefect server of a running command: nobody else is let in, and it never outlives the command."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from conf.home import Home
from conf.private_server import MARK, PREFECTS_OWN_MARK, leftover_servers
from tests.deployments.stack.test_guard import ATTACK, REBOUND, SOCKETS, other_site
from tests.reelsift.test_cli import reelsift
from tests.support.browser import open_chromium
from tests.support.ended_commands import ended_by, left_after, ports_of, processes_of, server_of, started, wait_for
from tests.support.media import shades, write_video
from tests.support.mirror_server import MirrorServer
from tests.support.square_network import square_network

__all__ = ["other_site"]  # a fixture

BYTES_PER_S = 10_000  # so slow that a build is in the midst of its downloads for as long as a test needs
NOBODY = 65534


@dataclass(frozen=True)
class Build:
    """A build in the midst of its downloads."""

    home: Path
    process: subprocess.Popen[str]
    server: psutil.Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def slow_mirror(synthetic_mirror: Path) -> Iterator[MirrorServer]:
    with MirrorServer(synthetic_mirror, bytes_per_s=BYTES_PER_S) as server:
        yield server


@pytest.fixture(scope="module")
def home(with_tables: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all."""
    return with_tables(tmp_path_factory.mktemp("killed") / "home")


def is_downloading(home: Path) -> bool:
    return any((home / "shards").rglob("*.tfrecord.part"))


def forget_downloads(home: Path) -> None:
    for path in (home / "shards").rglob("*.part"):
        path.unlink()


@pytest.fixture(scope="module")
def build(home: Path, slow_mirror: MirrorServer) -> Iterator[Build]:
    """A build that runs until a test kills it."""
    with started(home, "dataset", "build", "--label", "Cooking", "--mirror", slow_mirror.url) as process:
        wait_for(process, lambda: is_downloading(home))
        server = server_of(process)
        assert server
        (port,) = ports_of([server])
        yield Build(home, process, server, port)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="no-password"),
        pytest.param({"Authorization": "Basic cmVlbHNpZnQ6Z3Vlc3NlZA=="}, 401, id="wrong-password"),
        pytest.param({"Host": "rebound.example"}, 403, id="foreign-host"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="foreign-origin"),
        pytest.param({"Origin": "null"}, 403, id="origin-of-a-file"),
    ],
)
def test_a_deployment_cannot_be_planted(build: Build, headers: dict[str, str], status: int) -> None:
    body = {"name": "planted", "flow_id": "00000000-0000-0000-0000-000000000000", "entrypoint": "os.system"}
    with httpx.Client(base_url=build.url, headers=headers, trust_env=False) as client:
        assert client.post("/api/deployments/", json=body).status_code == 403  # it has no token either
        assert client.post("/api/flows/", json={"name": "planted"}).status_code == 403
        assert client.get("/api/admin/version").status_code == status
    with closing(sqlite3.connect(build.home / "prefect" / "prefect.db")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM flow UNION SELECT name FROM deployment")]
    assert names == ["prepare-dataset"]


@pytest.mark.parametrize("path", SOCKETS)
def test_its_sockets_want_its_origin_and_the_password(build: Build, path: str) -> None:
    async def outcome(**options: str) -> str:
        address = f"ws://127.0.0.1:{build.port}/api/{path}"
        try:
            async with connect(
                address,
                subprotocols=[Subprotocol("prefect")],
                proxy=None,
                **options,  # type: ignore[arg-type]
            ) as socket:
                await socket.send('{"type": "auth", "token": "reelsift:guessed"}')
                return str(await socket.recv())
        except InvalidStatus as refused:
            return str(refused.response.status_code)
        except ConnectionClosed as closed:
            return str(closed.rcvd.code if closed.rcvd else "cut")

    assert asyncio.run(outcome(origin="http://evil.example")) == "403"
    assert asyncio.run(outcome()) in {"1008", "403"}  # closed for the password; Prefect serves tasks to no stranger


def test_pages_of_another_origin_and_a_rebound_name_read_and_start_nothing(build: Build, other_site: int) -> None:
    rebound = f"http://{REBOUND}:{build.port}"
    with open_chromium(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{other_site}/")
        other = page.evaluate(ATTACK, [f"{build.url}/api", SOCKETS, "reelsift:guessed"])
        page.goto(rebound)
        renamed = page.evaluate(ATTACK, [f"{rebound}/api", SOCKETS, "reelsift:guessed"])
    assert other.pop("blind") == "opaque"
    assert set(other.values()) == {"refused"}
    assert renamed.pop("blind") == "basic"
    assert {renamed.pop(name)[:19] for name in ("health", "token", "post")} == {'403 {"detail": "Ref'}
    assert set(renamed.values()) == {"refused"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_another_account_finds_no_password_and_is_not_let_in(build: Build) -> None:
    code = (
        "import sys, urllib.error, urllib.request\n"
        "for pid in sys.argv[2:]:\n"
        "    try: print(len(open(f'/proc/{pid}/environ').read()))\n"
        "    except PermissionError: print('kept')\n"
        "    print('PASSWORD' if 'AUTH' in open(f'/proc/{pid}/cmdline').read() else 'bare')\n"
        "try: print(urllib.request.urlopen(sys.argv[1]).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    seen = subprocess.run(
        [
            "/usr/bin/env",
            "python3",
            "-c",
            code,
            f"{build.url}/api/flows/filter",
            str(build.server.pid),
            str(build.process.pid),
        ],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={"PATH": os.defpath},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.split() == ["kept", "bare", "kept", "bare", "401"]


def test_a_password_and_a_server_of_the_environment_lead_nowhere_else(build: Build) -> None:
    environment = build.server.environ()
    assert environment["PREFECT_SERVER_API_AUTH_STRING"] not in " ".join(build.server.cmdline())
    assert len(environment["PREFECT_SERVER_API_AUTH_STRING"]) > 40
    assert leftover_servers(Home(build.home)) == []  # its command lives


def test_a_killed_command_leaves_no_server(build: Build) -> None:
    """The last one to use the build."""
    assert ended_by(build.process, signal.SIGKILL)[0] == -signal.SIGKILL
    assert not left_after(build.home, {build.port})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_build_that_is_asked_to_end_says_so_in_one_line_and_leaves_nothing(
    home: Path, slow_mirror: MirrorServer, number: signal.Signals
) -> None:
    forget_downloads(home)
    with started(home, "dataset", "build", "--label", "Cooking", "--mirror", slow_mirror.url) as process:
        wait_for(process, lambda: is_downloading(home))
        ports = ports_of(processes_of(home))
        code, said = ended_by(process, number)
    assert code == 128 + number
    how = "Interrupted" if number == signal.SIGINT else f"Ended by {number.name}"
    assert f"{how}. What was finished is kept" in said
    assert "Traceback" not in said
    assert len(ports) == 1
    assert not left_after(home, ports)
    with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as database:
        states = database.execute("SELECT state_type FROM flow_run ORDER BY created").fetchall()
    assert states[-1] == ("CRASHED",)  # and not for ever running


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of video: even on a busy machine, work on it is not done before a signal comes."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", shades(6000))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A detector of coloured squares, where that of the people is looked for."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "yolox_nano.onnx").write_bytes(square_network())
    return str(folder)


def test_a_labelling_whose_terminal_is_closed_ends_in_the_midst_of_a_decode(tmp_path: Path, clip: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    with started(home, "label", clip, "--fps", 60, "--out", out) as process:
        running = psutil.Process(process.pid)
        wait_for(process, lambda: str(clip) in {file.path for file in running.open_files()})
        code, said = ended_by(process, signal.SIGHUP)
    assert code == 128 + signal.SIGHUP
    assert said.splitlines()[-1].startswith("Ended by SIGHUP. What was finished is kept")
    assert "Traceback" not in said
    assert not list(out.rglob("*.tmp"))


def test_a_detection_leaves_no_temporary_file_and_a_killed_one_s_go_with_the_next_over_the_folder(
    tmp_path: Path, clip: Path, weights: str
) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    command = ("--detector", "yolox-nano", "--out", out)
    for number in (signal.SIGQUIT, signal.SIGKILL):
        with started(home, "detect", clip, *command, REELSIFT_WEIGHTS=weights) as process:
            wait_for(process, lambda: list(out.rglob(".making-*/*")))
            code, said = ended_by(process, number)
        assert "Traceback" not in said
        if number == signal.SIGQUIT:
            assert code == 128 + signal.SIGQUIT
            assert not list(out.rglob("*"))
    assert list(out.rglob(".making-*"))
    short = write_video(tmp_path / "short.mp4", shades(3))
    run = reelsift("detect", short, *command, "--no-annotate", home=home, REELSIFT_WEIGHTS=weights)
    assert run.returncode == 0, run.stderr
    assert not list(out.rglob("*.tmp"))
    assert [path.name[:5] for path in out.iterdir() if path.is_dir()] == ["short"]


def test_a_server_that_prefect_itself_left_behind_is_ended_by_down(tmp_path: Path) -> None:
    """Commands of earlier versions had one, without a password, that outlived them."""
    home = Home(tmp_path / "home")
    sleep = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    for mark in ({PREFECTS_OWN_MARK: "1", "PREFECT_HOME": str(home.prefect)}, {MARK: str(home.root)}):
        subprocess.run([sys.executable, "-c", sleep], env=os.environ | mark, check=True)  # it dies, its child does not
        assert len(leftover_servers(home)) == 1
        down = reelsift("down", home=home.root)
        assert "1 processes ended" in down.stdout, down.stderr
        assert not leftover_servers(home)
