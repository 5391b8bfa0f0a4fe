"""The command line as a person meets it: what it prints, where, how fast, and what it exits with."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from reelsift.cli import app
from tasks.contracts.errors import ReelsiftError
from tests.conftest import AUTHORITY
from tests.support import warm_commands
from tests.support.ended_commands import ended_by, started, wait_for
from tests.support.in_process import run_here
from tests.support.mirror_server import MirrorServer

REELSIFT = Path(sys.executable).parent / "reelsift"


def reelsift(*arguments: object, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("REELSIFT_", "PREFECT_"))}
    words = list(map(str, arguments))
    env = clean | AUTHORITY | {"REELSIFT_HOME": str(home), "COLUMNS": "160"} | environment
    warm = warm_commands.chosen
    return (warm and warm.run(REELSIFT, words, cwd=home.parent, env=env)) or subprocess.run(
        [str(REELSIFT), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=home.parent,
        stdin=subprocess.DEVNULL,
        env=env,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def all_commands(group: TyperGroup | None = None, above: str = "") -> list[str]:
    """List every command and group there is, so that none is forgotten."""
    group = group or cast("TyperGroup", typer.main.get_command(app))
    names = [""] if not above else []
    for name, command in group.commands.items():
        path = f"{above} {name}".strip()
        names.append(path)
        if isinstance(command, TyperGroup):
            names += all_commands(command, path)
    return names


@pytest.mark.parametrize("command", all_commands())
def test_every_command_has_help(command: str) -> None:
    run = CliRunner().invoke(app, [*command.split(), "--help"])
    assert run.exit_code == 0
    assert "Usage:" in run.stdout


def test_help_of_the_installed_command_writes_nothing(home: Path) -> None:
    run = reelsift("--help", home=home)
    assert (run.returncode, run.stderr) == (0, "")
    assert not home.exists()


@pytest.mark.skipif(not warm_commands.CAN_FORK, reason="the system tells nobody of the end of a process")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("config", "show", "--json"), 0, id="settings"),
        pytest.param(("dataset", "show", "x"), 1, id="refusal"),
        pytest.param(("prune", "--nonsense"), 2, id="usage"),
    ],
)
def test_a_command_that_is_forked_does_what_one_does_that_is_started(
    words: tuple[str, ...], code: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = warm_commands.chosen
    assert warm
    monkeypatch.setattr(warm, "_is_first", lambda _: False)
    forked = reelsift(*words, home=home, REELSIFT_MIRROR="eu")
    monkeypatch.setattr(warm_commands, "chosen", None)
    started_anew = reelsift(*words, home=home, REELSIFT_MIRROR="eu")
    for run in (forked, started_anew):
        assert (run.returncode, run.stdout, run.stderr) == (code, started_anew.stdout, started_anew.stderr)
    assert forked.stdout + forked.stderr


def test_the_vocabulary_is_searched_and_summarised(home: Path, synthetic_mirror: Path) -> None:
    found = reelsift("vocabulary", "--mirror", synthetic_mirror, "--search", "cook", "--json", home=home)
    answer = json.loads(found.stdout)
    assert [label["index"] for label in answer["labels"]] == [22]
    assert answer["summary"]["rows"] == 3862
    offline = reelsift("vocabulary", "--search", "cook", home=home)  # what was fetched once is there without a mirror
    assert "Cooking" in offline.stdout


def test_shards_are_planned_and_downloaded(home: Path, synthetic_mirror: Path) -> None:
    planned = json.loads(reelsift("shards", "plan", "--mirror", synthetic_mirror, "--json", home=home).stdout)
    assert planned["files"] == 6
    done = reelsift("shards", "download", "--mirror", synthetic_mirror, "--limit", 1, "--json", home=home)
    report = json.loads(done.stdout)
    assert (done.returncode, report["fetched"], report["failed"]) == (0, 2, [])
    again = reelsift("shards", "download", "--mirror", synthetic_mirror, "--limit", 1, home=home)
    assert "0 fetched" in again.stdout
    assert "2 were there" in again.stdout


def test_a_shard_that_fails_is_named_and_exits_with_1(home: Path, synthetic_mirror: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    subprocess.run(["cp", "-r", str(synthetic_mirror), str(broken)], check=True)
    (broken / "2" / "video" / "train" / "trainab.tfrecord").write_bytes(b"not what the plan promises")
    run = reelsift("shards", "download", "--mirror", broken, home=home, REELSIFT_DOWNLOAD__BACKOFF_BASE_S="0")
    assert run.returncode == 1
    assert "trainab.tfrecord" in run.stderr
    assert "5 of 6 shards are in" in run.stdout


def test_a_whole_public_partition_is_not_fetched_unasked(
    home: Path, synthetic_mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public hosts cannot be had here, so a mirror on loopback passes for them."""
    monkeypatch.setattr("tasks.shards.mirror.is_public", lambda _: True)
    monkeypatch.setenv("REELSIFT_HOME", str(home))
    with MirrorServer(synthetic_mirror) as server:
        command = ["shards", "download", "--mirror", server.url]
        runner = CliRunner()
        refused = runner.invoke(app, command)
        assert isinstance(refused.exception, ReelsiftError)
        assert "--yes" in str(refused.exception)
        assert re.search(r"6 files, about 3\.\d MB, from http", refused.stderr)
        assert not list(home.rglob("*.tfrecord"))
        assert runner.invoke(app, [*command, "--yes"]).exit_code == 0
    assert len(list(home.rglob("*.tfrecord"))) == 6


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param(["dataset", "show", "latest"], "reelsift dataset build", id="no-dataset"),
        pytest.param(["train"], "reelsift dataset build", id="train-without-dataset"),
        pytest.param(["models", "evaluate", "champion"], "reelsift train", id="no-model"),
        pytest.param(["--config", "nowhere.toml", "config", "show"], "No configuration file", id="config"),
        pytest.param(["vocabulary", "--mirror", "nowhere"], "A mirror is one of us, eu, asia", id="mirror"),
    ],
)
def test_an_expected_error_is_one_line_and_exits_with_1(command: list[str], message: str, home: Path) -> None:
    run = reelsift(*command, home=home)
    assert run.returncode == 1
    assert run.stdout == ""
    assert len(run.stderr.strip().splitlines()) == 1
    assert run.stderr.startswith("error: ")
    assert message in run.stderr


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["dataset", "build"], id="no-label"),
        pytest.param(["nonsense"], id="no-command"),
        pytest.param(["dataset", "build", "--label", "x", "--limit", "0"], id="bound"),
        pytest.param(["dataset", "build", "--label", "x", "--match", "some"], id="choice"),
        pytest.param(["dataset", "build", "--label", "x", "--shards", "0,3"], id="share"),
        pytest.param(["dataset", "build", "--label", "x", "--shards", "3,2"], id="no-such-share"),
        pytest.param(["shards", "plan", "--shards", "one,two"], id="plan-share"),
    ],
)
def test_a_wrong_usage_exits_with_2_and_no_traceback(
    command: list[str], home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = run_here(*command, home=home, monkeypatch=monkeypatch, capfd=capfd)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


def test_debug_shows_where_an_error_came_from(home: Path) -> None:
    run = reelsift("--debug", "dataset", "show", "latest", home=home)
    assert run.returncode == 1
    assert "Traceback" in run.stderr


def test_settings_are_shown_with_their_origins(home: Path) -> None:
    run = reelsift("config", "show", "--json", home=home, REELSIFT_DOWNLOAD__CONNECTIONS="5")
    shown = json.loads(run.stdout)
    assert shown["download.connections"] == {"value": 5, "origin": "REELSIFT_DOWNLOAD__CONNECTIONS"}
    assert shown["filter.background"]["origin"] == "conf/default.toml"


def test_lists_are_empty_at_first_and_say_what_to_do(home: Path) -> None:
    run = reelsift("dataset", "list", home=home)
    assert run.returncode == 0
    assert "reelsift dataset build" in run.stderr
    assert json.loads(reelsift("models", "list", "--json", home=home).stdout) == {"models": []}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the kernel's list of caught signals")
@pytest.mark.parametrize(
    ("number", "later_s"), [(signal.SIGTERM, 0.0), (signal.SIGINT, 0.0), (signal.SIGINT, 0.2), (signal.SIGHUP, 0.1)]
)
def test_a_signal_while_a_command_is_imported_ends_it_in_one_line(
    home: Path, number: signal.Signals, later_s: float
) -> None:
    code, said = 0, ""
    while not code and later_s >= 0:  # a quick machine may be through by then
        with started(home, "dataset", "list") as process:
            wait_for(process, lambda: catches(process.pid, signal.SIGHUP))
            time.sleep(later_s)
            code, said = ended_by(process, number)
        later_s -= 0.05
    assert code == 128 + number
    assert [line for line in said.splitlines() if line] == [line for line in said.splitlines() if "is kept" in line]
    assert said.count("What was finished is kept") == 1


def catches(pid: int, number: signal.Signals) -> bool:
    (mask,) = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_ctrl_c_says_that_the_work_is_kept(home: Path, synthetic_mirror: Path) -> None:
    with MirrorServer(synthetic_mirror, latency_s=0.2, bytes_per_s=50_000) as server:
        process = subprocess.Popen(
            [str(REELSIFT), "shards", "download", "--mirror", server.url],
            env=os.environ | {"REELSIFT_HOME": str(home)},
            stderr=subprocess.PIPE,
            text=True,
        )
        while not any(home.rglob("*.part")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "What was finished is kept" in errors
    assert "Traceback" not in errors
