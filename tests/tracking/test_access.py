"""Who is let in by a server that asks for a password, and what the others are told."""

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from reelsift.cli import app
from tasks.candidates import fit_classifier
from tasks.classifier.config import ModelKind, TrainConfig
from tasks.contracts.errors import TrackingError
from tasks.tracking.client import search_with_client
from tasks.tracking.registry import list_models
from tasks.tracking.server import turned_away
from tasks.tracking.store import TrackingStore, tracking_store
from tests.datasets.made import Folders, make_parts
from tests.reelsift.test_cli import reelsift
from tests.support.classifiers import registered, untrained
from tests.support.mlflow_servers import RunningMlflow
from tests.tracking.test_pages import recording_browser

SEARCH = "/api/2.0/mlflow/experiments/search"
NO_NAME = r"requires authentication \(401\)\. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
WRONG = r"has no user 'nobody' with this password \(401\)\. Correct MLFLOW_TRACKING_USERNAME"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/health", 200, id="health"),
        pytest.param("/", 401, id="pages"),
        pytest.param("/version", 401, id="version"),
        pytest.param(f"{SEARCH}?max_results=1", 401, id="search"),
        pytest.param("/get-artifact?path=x&run_uuid=y", 401, id="artifact of a run"),
        pytest.param("/api/2.0/mlflow-artifacts/artifacts", 401, id="artifacts"),
        pytest.param("/graphql", 401, id="graphql"),
        pytest.param("/v1/traces", 401, id="traces"),
        pytest.param("/api/2.0/mlflow/users/list", 401, id="users"),
    ],
)
def test_without_the_password_nothing_answers_but_health(path: str, status: int, mlflow_server: RunningMlflow) -> None:
    assert httpx.get(f"{mlflow_server.url}{path}").status_code == status


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        pytest.param("Host", "evil.example", 403, id="foreign host"),
        pytest.param("Host", "127.0.0.1.evil.example:5000", 403, id="host that only begins well"),
        pytest.param("Origin", "http://evil.example", 403, id="foreign origin"),
        pytest.param("Origin", "http://localhost.evil.example", 403, id="origin that only begins well"),
        pytest.param("Origin", "null", 403, id="origin of a file"),
        pytest.param("Host", "localhost:5000", 200, id="localhost"),
        pytest.param("Host", "[::1]:5000", 200, id="version 6"),
        pytest.param("Origin", "http://127.0.0.1:8888", 403, id="another server of this machine"),
    ],
)
def test_foreign_hosts_and_origins_are_turned_away(
    header: str, value: str, status: int, mlflow_server: RunningMlflow
) -> None:
    auth = (mlflow_server.credentials.user, mlflow_server.credentials.password)
    url, body = f"{mlflow_server.url}{SEARCH}", {"max_results": 1}
    assert httpx.post(url, json=body, auth=auth, headers={header: value}).status_code == status
    assert httpx.post(url, json=body, headers={header: value}).status_code == (403 if status == 403 else 401)
    own = {"Origin": mlflow_server.url}
    assert httpx.post(url, json=body, auth=auth, headers=own).status_code == 200


@pytest.mark.parametrize("search", [list_models, search_with_client], ids=["rest", "client"])
@pytest.mark.parametrize(
    ("user", "password", "message"),
    [
        pytest.param(None, None, NO_NAME, id="none"),
        pytest.param("tester", None, NO_NAME, id="user alone"),
        pytest.param("nobody", "guessed it", WRONG, id="wrong"),
    ],
)
def test_what_to_set_is_told(
    search: object,
    user: str | None,
    password: str | None,
    message: str,
    remote: TrackingStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert callable(search)
    for name, value in {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    with pytest.raises(TrackingError, match=message):
        search(remote)


def test_a_name_that_the_server_does_not_go_by_and_a_missing_permission() -> None:
    guarded = "Refused: this server is not called 'h'; `reelsift up --public-name NAME` gives it another name."
    for host in ("Invalid Host header - possible DNS rebinding attack detected", guarded):
        assert "does not let itself be called by that name (403)" in str(turned_away("http://h", 403, host))
    assert "does not allow this to a user without a name (403)" in str(
        turned_away("http://h", 403, "Permission denied")
    )


def test_an_address_with_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"MLflow at h\.example holds a password") as refused:
        tracking_store(tmp_path, "https://ann:secret@h.example:5000")
    assert "secret" not in str(refused.value)


def test_the_command_line_tells_it_in_one_line(mlflow_server: RunningMlflow, tmp_path: Path) -> None:
    run = reelsift("models", "list", home=tmp_path / "home", REELSIFT_TRACKING__URI=mlflow_server.url)
    assert (run.returncode, run.stdout) == (1, "")
    assert len(run.stderr.strip().splitlines()) == 1
    assert "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in run.stderr


def test_with_the_password_all_commands_work(
    remote: TrackingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Folders(store=tmp_path / "parts", root=tmp_path / "home" / "datasets")
    manifest = folders.publish(make_parts(folders.store))
    config = TrainConfig(model=ModelKind.LOGISTIC, epochs=1, min_positives=1, device="cpu")
    registered(remote, manifest.slug, classifier=untrained())
    fit_classifier.fn(manifest.id, config, remote, root=folders.root)
    monkeypatch.setenv("REELSIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REELSIFT_TRACKING__URI", remote.uri)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    opened = recording_browser(tmp_path, monkeypatch)
    slug = manifest.slug
    assert len(answer("models", "list", slug)["models"]) == 2
    assert answer("models", "promote", f"{slug}@challenger")["promoted"]
    assert answer("models", "evaluate", f"{slug}@champion")["model"] == f"{slug}/2"
    compared = answer("models", "compare", "--dataset", manifest.id, "--open")
    assert {row["model"] for row in compared["rows"]} == {f"{slug}/1", f"{slug}/2"}
    assert compared["ui_command"] is None
    assert opened() == compared["compare_url"]
    forced = answer("models", "promote", f"{slug}/1", "--dataset", manifest.id, "--force", "to try a rollback")
    assert forced["promoted"]
    assert answer("models", "rollback", slug)["version"] == 2


def test_without_it_nothing_is_trained(mlflow_server: RunningMlflow, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=NO_NAME):
        fit_classifier.fn("ds-0123456789ab", TrainConfig(model=ModelKind.MOE), mlflow_server.store, root=tmp_path)


def answer(*arguments: str) -> dict:
    run = CliRunner().invoke(app, [*arguments, "--json"])
    assert run.exit_code == 0, run.stderr or run.exception
    return json.loads(run.stdout)
