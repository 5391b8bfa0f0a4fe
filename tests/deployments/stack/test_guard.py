"""Who may talk to the servers of a stack: known names, their own pages, and whoever has the password."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.support.browser import open_chromium
from tests.support.local_stack import PASSWORD, USER, LocalStack

AUTH = (USER, PASSWORD)
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

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def attacked(page_url: str, api: str) -> dict[str, Any]:
    """Let a page of a browser, to which any name is this machine, try what it can."""
    with open_chromium(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as browser:
        page = browser.new_page()
        page.goto(page_url)
        return page.evaluate(ATTACK, [api, SOCKETS, ":".join(AUTH)])


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", REBOUND])
def test_a_page_of_another_origin_reads_and_starts_nothing(local_stack: LocalStack, other_site: int, name: str) -> None:
    outcomes = attacked(f"http://{name}:{other_site}/", f"http://127.0.0.1:{local_stack.prefect_port}/api")
    assert outcomes.pop("blind") == "opaque"  # which says nothing, not even that it was refused
    assert set(outcomes.values()) == {"refused"}
    log = (local_stack.home / "stack" / "prefect.log").read_text()
    assert f"Refused http /api/deployments/: pages of 'http://{name}:{other_site}' may not use this server" in log


def test_a_rebound_name_reads_and_starts_nothing(local_stack: LocalStack) -> None:
    server = f"http://{REBOUND}:{local_stack.prefect_port}"
    outcomes = attacked(server, f"{server}/api")
    assert outcomes.pop("blind") == "basic"  # of its own origin, as the browser sees it
    assert {outcomes.pop(name)[:19] for name in ("health", "token", "post")} == {'403 {"detail": "Ref'}
    assert set(outcomes.values()) == {"refused"}


def test_the_same_attempts_from_its_own_page_are_let_in(local_stack: LocalStack) -> None:
    server = f"http://127.0.0.1:{local_stack.prefect_port}"
    outcomes = attacked(server, f"{server}/api")
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
    token = ":".join(AUTH)
    assert handshake(local_stack, path, token) == '{"type":"auth_success"}'
    assert handshake(local_stack, path, token, origin="http://evil.example") == "403"
    assert handshake(local_stack, path, token, origin="null") == "403"
    assert handshake(local_stack, path, f"{USER}:wrong-wrong-wrong") == "1008"


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
    assert httpx.get(url, auth=AUTH, headers=headers).status_code == status


def test_its_pages_are_not_shown_within_others(local_stack: LocalStack) -> None:
    page = httpx.get(f"http://127.0.0.1:{local_stack.prefect_port}/")
    assert (page.status_code, page.headers["x-frame-options"]) == (200, "SAMEORIGIN")
