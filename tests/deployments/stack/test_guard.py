"""Who may talk to the servers of a stack: known names, their own pages, and users with the password."""

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from conf.guarded_server import Guesses
from tests.support.browser import open_chromium
from tests.support.local_stack import LocalStack

SOCKETS = ("events/in", "events/out", "logs/out", "work_pools/cpu/workers/connect", "task_runs/subscriptions/scheduled")
REBOUND = "rebound.example"
# What a page of an attacker tries, who even knows the password: it is the guard that is tested.
ATTACK = """
async ([api, sockets, auth]) => {
    const outcomes = {};
    const note = async (name, tried) => {
        try { outcomes[name] = await tried(); } catch (error) { outcomes[name] = "refused"; }
    };
    const read = async (path, options) => {
        const answer = await fetch(api + path, options);
        return `${answer.status} ${(await answer.text()).slice(0, 40)}`;
    };
    const login = {Authorization: "Basic " + btoa(auth)};
    await note("health", () => read("/health"));
    await note("token", () => read("/csrf-token?client=attacker", {headers: login}));
    await note("post", () => read("/flow_runs/filter", {method: "POST", headers: login, body: "{}"}));
    const blind = {method: "POST", mode: "no-cors", body: "{}"};
    await note("blind", () => fetch(api + "/deployments/", blind).then(answer => answer.type));
    for (const path of sockets)
        for (const protocols of [[], ["prefect"]])
            await note(path + protocols, () => new Promise(resolve => {
                const socket = new WebSocket(api.replace("http", "ws") + "/" + path, protocols);
                socket.onopen = () => socket.send(JSON.stringify({type: "auth", token: auth}));
                socket.onmessage = message => resolve("read " + message.data);
                socket.onclose = closed => resolve(closed.wasClean ? "closed" : "refused");
            }));
    return outcomes;
}
"""


@pytest.fixture(scope="module")
def other_site() -> Iterator[int]:
    """The port of a site on this machine that is none of the stack's, such as another account's notebook."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>another site</title>")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def attacked(page_url: str, api: str, login: tuple[str, str]) -> dict[str, Any]:
    """Let a page of a browser, to which any name is this machine, try what it can."""
    with open_chromium(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as browser:
        page = browser.new_page()
        page.goto(page_url)
        return page.evaluate(ATTACK, [api, SOCKETS, ":".join(login)])


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", REBOUND])
def test_a_page_of_another_origin_reads_and_starts_nothing(local_stack: LocalStack, other_site: int, name: str) -> None:
    outcomes = attacked(
        f"http://{name}:{other_site}/", f"http://127.0.0.1:{local_stack.prefect_port}/api", local_stack.login
    )
    assert outcomes.pop("blind") == "opaque"  # which says nothing, not even that it was refused
    assert set(outcomes.values()) == {"refused"}
    log = (local_stack.home / "stack" / "prefect.log").read_text()
    assert f"Refused http /api/deployments/: pages of 'http://{name}:{other_site}' may not use this server" in log


def test_a_rebound_name_reads_and_starts_nothing(local_stack: LocalStack) -> None:
    server = f"http://{REBOUND}:{local_stack.prefect_port}"
    outcomes = attacked(server, f"{server}/api", local_stack.login)
    assert outcomes.pop("blind") == "basic"  # of its own origin, as the browser sees it
    assert {outcomes.pop(name)[:19] for name in ("health", "token", "post")} == {'403 {"detail": "Ref'}
    assert set(outcomes.values()) == {"refused"}


def test_the_same_attempts_from_its_own_page_are_let_in(local_stack: LocalStack) -> None:
    server = f"http://127.0.0.1:{local_stack.prefect_port}"
    outcomes = attacked(server, f"{server}/api", local_stack.login)
    assert outcomes["health"] == "200 true"
    assert outcomes["token"].startswith("200 ")
    assert {outcomes[f"{path}prefect"] for path in SOCKETS} == {'read {"type":"auth_success"}'}
    assert not any(str(outcomes[path]).startswith("read") for path in SOCKETS)  # a password needs the protocol


def handshake(stack: LocalStack, path: str, token: str, **options: Any) -> str:
    """Connect as a client that is no browser, and return what comes of it."""

    async def connected() -> str:
        url = f"ws://127.0.0.1:{stack.prefect_port}/api/{path}"
        async with connect(url, subprotocols=[Subprotocol("prefect")], proxy=None, **options) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            return str(await socket.recv())

    try:
        return asyncio.run(connected())
    except InvalidStatus as refused:
        return str(refused.response.status_code)
    except ConnectionClosed as closed:
        return str(closed.rcvd.code if closed.rcvd else "cut")


@pytest.mark.parametrize("path", SOCKETS)
def test_a_socket_asks_for_its_origin_before_and_the_password_after_it_is_accepted(
    local_stack: LocalStack, path: str
) -> None:
    token = ":".join(local_stack.login)
    assert handshake(local_stack, path, token) == '{"type":"auth_success"}'
    assert handshake(local_stack, path, token, origin="http://evil.example") == "403"
    assert handshake(local_stack, path, token, origin="null") == "403"
    assert handshake(local_stack, path, "reelsift:wrong-wrong-wrong") == "1008"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="none"),
        pytest.param({"Host": "localhost"}, 200, id="localhost"),
        pytest.param({"Host": "[::1]:80"}, 200, id="version-6"),
        pytest.param({"Host": "LOCALHOST:1"}, 200, id="capitals"),
        pytest.param({"Host": "evil.example"}, 403, id="foreign-host"),
        pytest.param({"Host": "127.0.0.1.evil.example"}, 403, id="host-that-begins-well"),
        pytest.param({"Host": "evil.example@127.0.0.1"}, 403, id="host-with-user"),
        pytest.param({"Host": ""}, 403, id="no-host"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="foreign-origin"),
        pytest.param({"Origin": "null"}, 403, id="origin-of-a-file"),
        pytest.param({"Origin": "http://127.0.0.1"}, 403, id="origin-at-another-port"),
        pytest.param({"Origin": "http://localhost:81", "Host": "localhost:81"}, 200, id="through-a-tunnel"),
        pytest.param({"Origin": "http://evil.example:81", "Host": "evil.example:81"}, 403, id="rebound"),
    ],
)
def test_names_and_origins(local_stack: LocalStack, headers: dict[str, str], status: int) -> None:
    url = f"http://127.0.0.1:{local_stack.prefect_port}/api/version"
    assert httpx.get(url, auth=local_stack.login, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="none"),
        pytest.param({"Host": "evil.example"}, 403, id="foreign-host"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="foreign-origin"),
        pytest.param({"Origin": "http://127.0.0.1:8888"}, 403, id="another-server-here"),
        pytest.param({"Origin": "null"}, 403, id="origin-of-a-file"),
        pytest.param({"Origin": "http://localhost:81", "Host": "localhost:81"}, 200, id="through-a-tunnel"),
    ],
)
def test_names_and_origins_of_mlflow(local_stack: LocalStack, headers: dict[str, str], status: int) -> None:
    url = f"{local_stack.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1"
    answer = httpx.get(url, auth=local_stack.login, headers=headers)
    assert answer.status_code == status
    assert ("experiments" in answer.text) == (status == 200)


@pytest.mark.parametrize("name", ["127.0.0.1", REBOUND])
def test_a_page_of_another_origin_reads_nothing_of_mlflow(local_stack: LocalStack, other_site: int, name: str) -> None:
    read = """async ([url, auth]) => {
        const login = {Authorization: "Basic " + btoa(auth)};
        try { return (await fetch(url, {headers: login})).status; } catch (error) { return "refused"; }
    }"""
    with open_chromium(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as browser:
        page = browser.new_page()
        page.goto(f"http://{name}:{other_site}/")
        url = f"{local_stack.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1"
        assert page.evaluate(read, [url, ":".join(local_stack.login)]) == "refused"
        rebound = page.goto(f"http://{REBOUND}:{local_stack.mlflow_port}/version")
        assert rebound is not None
        assert rebound.status == 403


def test_its_pages_are_not_shown_within_others(local_stack: LocalStack) -> None:
    for url in (f"http://127.0.0.1:{local_stack.prefect_port}/", f"{local_stack.mlflow_url}/"):
        page = httpx.get(url, auth=local_stack.login)
        assert (page.status_code, page.headers["x-frame-options"]) == (200, "SAMEORIGIN")


ANOTHER_ACCOUNT = """
import base64, json, os, sys, urllib.error, urllib.request
prefect, mlflow, home = sys.argv[1:]
urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
def status(url, password=None, body=None):
    headers = {"Content-Type": "application/json"}
    if password:
        headers["Authorization"] = "Basic " + base64.b64encode(f"reelsift:{password}".encode()).decode()
    try:
        return urllib.request.urlopen(urllib.request.Request(url, body, headers)).status
    except urllib.error.HTTPError as error:
        return error.code
def can_open(path):
    try:
        return bool(os.listdir(path) if os.path.isdir(path) else open(path).read())
    except OSError:
        return False
print(json.dumps({
    "reads": [status(prefect + path) for path in ("/version", "/csrf-token?client=x", "/admin/settings")],
    "mlflow": status(mlflow + "/api/2.0/mlflow/experiments/search?max_results=1"),
    "starts": [status(prefect + path, None, b"{}") for path in ("/deployments/", "/flow_runs/filter", "/flow_runs/")],
    "opens": [path for path in ("stack", "stack/password", "prefect", "prefect/prefect.db", "results") if
              can_open(os.path.join(home, path))],
    "guesses": [status(prefect + "/version", f"guess-{number}") for number in range(12)],
    "mlflow guesses": [status(mlflow + "/version", f"guess-{number % 2}") for number in range(3)],
}))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another account")
def test_another_account_of_this_machine_reads_and_starts_nothing(local_stack: LocalStack) -> None:
    python = next((path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if os.access(path, os.X_OK)), None)
    if python is None:
        pytest.skip("no Python that every account can run")
    servers = f"http://127.0.0.1:{local_stack.prefect_port}/api", local_stack.mlflow_url
    command = [python, "-c", ANOTHER_ACCOUNT, *servers, str(local_stack.home)]
    run = subprocess.run(command, user="nobody", group="nogroup", capture_output=True, text=True, check=True, cwd="/")
    tried = json.loads(run.stdout)
    assert tried["reads"] == [401, 401, 401]
    assert tried["starts"] == [403, 403, 403]
    assert tried["mlflow"] == 401
    assert tried["opens"] == []
    assert tried["guesses"] == [401] * 10 + [429] * 2
    assert tried["mlflow guesses"] == [401] * 3
    logs = [(local_stack.home / "stack" / f"{name}.log").read_text() for name in ("prefect", "mlflow")]
    assert [log.count("Wrong password from the account nobody") for log in logs] == [10, 2]
    assert "10 wrong passwords from the account nobody: it must wait for a minute" in logs[0]
    assert local_stack.api.get("/version").status_code == 200  # its owner waits for nobody


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_who_has_guessed_too_often_may_come_again_later() -> None:
    clock = Clock()
    guesses = Guesses(clock)
    stranger = {"client": ("192.0.2.1", 1), "path": "/"}
    assert [guesses.attempt(stranger, bytes([number])).is_admitted for number in range(12)] == [True] * 10 + [False] * 2
    assert not guesses.attempt(stranger, None).is_admitted  # the right one would be a guess as well
    assert guesses.attempt({"client": ("192.0.2.2", 1), "path": "/"}, None).is_admitted
    clock.now_s = 61.0
    assert guesses.attempt(stranger, None).is_admitted


def test_a_browser_tab_with_an_old_password_is_one_guess() -> None:
    guesses = Guesses(Clock())
    stranger = {"client": ("192.0.2.1", 1), "path": "/"}
    attempts = [guesses.attempt(stranger, b"old") for _ in range(100)]
    assert all(each.is_admitted for each in attempts)
    assert [each.is_new for each in attempts] == [True] + [False] * 99
