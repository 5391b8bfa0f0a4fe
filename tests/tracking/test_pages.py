"""Whether MLflow's pages are there, and how they are opened."""

import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from conf.home import Home
from conf.settings import load_settings
from conf.stack_state import MLFLOW_SERVER, RunningPart, StackState, process_identity, write_state
from flows.dataset_requests import store_of
from reelsift.pipeline import open_in_browser
from tasks.contracts.errors import ConfigError, TrackingError
from tasks.tracking.client import connect
from tasks.tracking.server import REALM, pages_answer
from tasks.tracking.store import LOCAL_UI, TrackingStore, tracking_store
from tests.support.classifiers import registered
from tests.support.mlflow_servers import RunningMlflow, free_port


def recording_browser(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Let a program that notes the address be the browser; return how to read the note."""
    note, program = folder / "opened", folder / "browser"
    program.write_text(f"#!{sys.executable}\nimport sys\nopen({str(note)!r}, 'w').write(sys.argv[1])\n")
    program.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    monkeypatch.setattr(webbrowser, "_tryorder", None)  # it is looked up again

    def opened() -> str:
        until = time.monotonic() + 20
        while not note.exists() or not note.read_text():
            assert time.monotonic() < until, "nothing was opened"
            time.sleep(0.05)
        return note.read_text()

    return opened


@contextmanager
def something_at(status: int, body: bytes = b"", **headers: str) -> Iterator[tuple[str, list[str | None]]]:
    """Something else that answers on loopback; what it was shown as credentials."""
    shown: list[str | None] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers["Authorization"])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", shown
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("remote")
def test_a_database_that_a_server_serves(mlflow_server: RunningMlflow) -> None:
    here = tracking_store(mlflow_server.home.root, ui_url=mlflow_server.url)
    row = registered(here, "pages")
    assert pages_answer(here, row.run_id)
    assert not pages_answer(here, "0" * 32)  # MLflow, with another database
    assert connect(here).get_experiment(row.experiment_id).artifact_location.startswith("file://")


@pytest.mark.parametrize(
    ("status", "body", "headers", "answers"),
    [
        pytest.param(401, b"", {"WWW_Authenticate": REALM}, True, id="mlflow with a password"),
        pytest.param(401, b"", {"WWW_Authenticate": 'Basic realm="router"'}, False, id="another with a password"),
        pytest.param(403, b"", {}, False, id="forbidden"),
        pytest.param(200, b"<html>hello</html>", {}, False, id="a page"),
        pytest.param(200, b"[1]", {}, False, id="json of another kind"),
        pytest.param(200, b'{"run": {"info": {"run_id": "7"}}}', {}, True, id="the run"),
    ],
)
def test_what_else_may_answer(status: int, body: bytes, headers: dict, answers: bool, tmp_path: Path) -> None:
    with something_at(status, body, **headers) as (url, _):
        assert pages_answer(tracking_store(tmp_path, ui_url=url), "7") == answers


def test_a_stranger_at_the_usual_address_is_shown_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    with something_at(401, WWW_Authenticate=REALM) as (url, shown):
        assert pages_answer(tracking_store(tmp_path, ui_url=url), "7")  # an address that somebody has set
        monkeypatch.setattr("tasks.tracking.server.LOCAL_UI", url)
        assert pages_answer(tracking_store(tmp_path, ui_url=url), "7")
    assert shown == ["Basic YW5uOnNlY3JldA==", None]


def test_nothing_there_and_a_server(tmp_path: Path) -> None:
    assert not pages_answer(tracking_store(tmp_path, ui_url=f"http://127.0.0.1:{free_port()}"), "7")
    assert pages_answer(tracking_store(tmp_path, "http://127.0.0.1:9"), "7")  # whoever compares has asked it already


def test_where_links_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSIFT_HOME", str(tmp_path))
    assert store_of(load_settings()).ui_url == LOCAL_UI
    with something_at(200) as (address, _):
        write_state(Home(tmp_path), StackState(options={}, parts=(this_process(address),)))
        served = store_of(load_settings())
        assert served.ui_url == address
        assert f"--port {urlsplit(address).port}" in str(served.ui_command)
    assert store_of(load_settings()).ui_url == LOCAL_UI  # whoever is there next is not this stack's server
    Home(tmp_path).stack.joinpath("state.json").write_text("damaged")
    assert store_of(load_settings()).ui_url == LOCAL_UI
    monkeypatch.setenv("REELSIFT_TRACKING__URI", "http://mlflow:5000")
    monkeypatch.setenv("REELSIFT_TRACKING__UI_URL", "https://models.example/mlflow/")
    assert store_of(load_settings()).registry_url("a b") == "https://models.example/mlflow/#/models/a%20b"
    monkeypatch.setenv("REELSIFT_TRACKING__UI_URL", "https://ann:secret@models.example")
    with pytest.raises(ConfigError, match="ui_url"):
        load_settings()


def this_process(address: str) -> RunningPart:
    import os

    return RunningPart(
        name=MLFLOW_SERVER,
        pid=os.getpid(),
        identity=process_identity(os.getpid()),
        started_s=time.time(),
        log=Path("log"),
        port=urlsplit(address).port,
        address=address,
    )


def test_what_nobody_serves_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording_browser(tmp_path, monkeypatch)
    comparison = {"compare_url": "http://127.0.0.1:5000/#/x", "ui_command": "mlflow server --port 5000"}
    with pytest.raises(TrackingError, match=r"Start `mlflow server --port 5000` \(or `reelsift up`\), then open http"):
        open_in_browser(comparison)
    assert not (tmp_path / "opened").exists()


def test_without_a_browser_the_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webbrowser, "_tryorder", [])
    with pytest.raises(TrackingError, match=r"No browser can be started here\. Open it where there is one: http://h/"):
        open_in_browser({"compare_url": "http://h/", "ui_command": None})


def test_a_local_store_without_a_server_says_how_to_serve_it(store: TrackingStore) -> None:
    assert not pages_answer(store, "7")
    assert str(store.ui_command).startswith("mlflow server --host 127.0.0.1 --backend-store-uri")
