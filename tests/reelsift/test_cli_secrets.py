"""No password shows, wherever one was typed; and what strangers wrote gives the terminal no orders."""

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conf.forms import DetectObjectsForm, PrepareDatasetForm
from reelsift.session import _secrets_kept_out
from tasks.contracts.media import BatchRequest, BatchVideo
from tasks.fan_out.ledger import write_request
from tasks.video.sources import listed
from tests.reelsift.test_cli import reelsift
from tests.support.in_process import run_here
from tests.support.mirror_server import MirrorServer
from tests.support.video_server import VIDEO, write_clip

SECRET = "hunter2-tr0ub4dor"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[MirrorServer]:
    folder = tmp_path / "site"
    folder.mkdir()
    write_clip(folder / "clip.mp4")
    with MirrorServer(folder) as server:
        server.always("clip.mp4", VIDEO)
        yield server


def files_with(secret: str, folder: Path) -> list[Path]:
    """Look into every file below a folder, whatever it is."""
    return [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]


def test_a_run_of_prefect_keeps_no_password_of_a_source(
    site: MirrorServer, tmp_path: Path, with_tables: Callable[[Path], Path]
) -> None:
    """In nothing that is printed, stored, logged or reported, Prefect's database among it."""
    home = with_tables(tmp_path / "home")
    address = f"{site.url.replace('//', f'//somebody:{SECRET}@')}/clip.mp4"
    run = reelsift("label", address, "--flow", "--json", home=home, REELSIFT_FETCH__ALLOW_PRIVATE="true")
    assert run.returncode == 0, run.stderr
    (video,) = json.loads(run.stdout)["videos"]
    assert (video["status"], video["source"]) == ("done", f"{site.url.replace('//', '//***@')}/clip.mp4")
    assert files_with("label-videos", home / "prefect")  # the search finds what is there
    assert files_with("clip.mp4", home)
    assert SECRET not in run.stdout + run.stderr
    assert files_with(SECRET, home) == []


def test_the_mirror_of_a_run_becomes_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REELSIFT_MIRROR", raising=False)
    form = PrepareDatasetForm(labels=("Cooking",), mirror=f"https://u:{SECRET}@mirror.example")
    with _secrets_kept_out(form, tmp_path) as parameters:
        assert parameters == form.model_copy(update={"mirror": None})
        assert os.environ["REELSIFT_MIRROR"] == form.mirror


def test_a_source_becomes_a_closed_list_that_goes_with_the_run(tmp_path: Path) -> None:
    address = f"https://h/v.mp4?token={SECRET}"
    form = DetectObjectsForm(sources=("a.mp4", address, "b.mp4"))
    with _secrets_kept_out(form, tmp_path) as parameters:
        assert SECRET not in parameters.model_dump_json()
        assert listed(parameters.sources) == ["a.mp4", address, "b.mp4"]
        (path,) = tmp_path.iterdir()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_the_request_of_a_batch_is_its_owners_alone(tmp_path: Path) -> None:
    video = BatchVideo(place=0, source=f"https://u:{SECRET}@h/v.mp4")
    ledger = write_request(tmp_path, BatchRequest(id="0" * 12, videos=(video,), form={}, expected_s=1))
    assert stat.S_IMODE(ledger.request_path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        pytest.param(("config", "show"), {"REELSIFT_MIRROR": f"https://u:{SECRET}@m"}, id="mirror"),
        pytest.param(("config", "show", "--json"), {"REELSIFT_MIRROR": f"https://u:{SECRET}@m"}, id="mirror-json"),
        pytest.param(
            ("config", "show"),
            {"REELSIFT_STORAGE": f"s3://b/p?endpoint_override=http%3A%2F%2Fu%3A{SECRET}%40h"},
            id="endpoint",
        ),
        pytest.param(("dataset", "list"), {"REELSIFT_STORAGE": f"s3://AK:{SECRET}@bucket"}, id="storage"),
        pytest.param(
            ("dataset", "show", "x"), {"REELSIFT_STORAGE": f"s3://b?secret_key={SECRET}"}, id="unknown-storage-option"
        ),
        pytest.param(("shards", "list", "--mirror", f"http://u:{SECRET}@127.0.0.1:9"), {}, id="no-answer"),
        pytest.param(("shards", "list", "--mirror", f"http://u:{SECRET}@h?x"), {}, id="no-mirror"),
        pytest.param(("label", f"ftp://u:{SECRET}@h/v.mp4"), {}, id="scheme"),
        pytest.param(("detect", f"http://u:{SECRET}@127.0.0.1:9/v.mp4", "--json"), {}, id="private"),
        pytest.param(("models", "list"), {"REELSIFT_TRACKING__URI": f"http://u:{SECRET}@h"}, id="tracking"),
    ],
)
def test_nothing_printed_holds_a_password(
    command: tuple[str, ...],
    variables: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    variables = {"REELSIFT_DOWNLOAD__ATTEMPTS": "1", **variables}
    run = run_here(*command, home=tmp_path / "home", monkeypatch=monkeypatch, capfd=capfd, **variables)
    assert run.stdout + run.stderr
    assert SECRET not in run.stdout + run.stderr
    assert "Traceback" not in run.stderr


def test_a_file_name_gives_the_terminal_no_orders(tmp_path: Path) -> None:
    name = "\x1b]0;owned\x07:x: [red]\x1b[2Jcat.mp4"
    (tmp_path / name).write_text("no video")
    for options in ((), ("--json",)):
        run = reelsift("label", name, *options, home=tmp_path / "home")
        assert run.returncode == 1
        assert "\x1b" not in run.stdout + run.stderr
        assert ":x: [red]cat" in run.stderr


def test_a_log_shows_names_as_they_are(tmp_path: Path, synthetic_mirror: Path) -> None:
    """Prefect itself writes a picture for `:x:`, and sends a terminal what begins with ESC."""
    mirror = tmp_path / "\x1b[2J:x: [red]"
    shutil.copytree(synthetic_mirror, mirror)
    (mirror / "2" / "video" / "train" / "trainab.tfrecord").write_bytes(b"")
    build = ("--debug", "dataset", "build", "--label", "2", "--mirror", mirror)
    run = reelsift(*build, home=tmp_path / "home", REELSIFT_DOWNLOAD__BACKOFF_BASE_S="0")
    assert run.returncode == 0, run.stderr
    warning = next(line for line in run.stderr.splitlines() if "WARNING" in line)
    assert ":x: [red]" in warning
    assert "\x1b" not in run.stderr
