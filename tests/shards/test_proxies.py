"""The environment's proxies: which addresses go through them, and that a refusal names the one that it came through."""

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tasks.contracts.errors import ConfigError, DownloadError
from tasks.contracts.files import file_digest
from tasks.shards.mirror import RemoteFile
from tasks.shards.proxies import proxy_for
from tasks.shards.transfer import fetch_file
from tests.shards.conftest import quick
from tests.support.mirror_server import MirrorServer
from tests.support.proxy_server import ProxyServer

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
FAR = "http://mirror.example/2/video/train/trainaa.tfrecord"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def mirror(folder: Path) -> Iterator[MirrorServer]:
    with MirrorServer(folder) as server:
        yield server


def port_of(server: MirrorServer) -> int:
    port = urlsplit(server.url).port
    assert port
    return port


def fetch(address: str, tmp_path: Path, **changes: object) -> str:
    config = quick("us", **{"attempts": 1, **changes})
    return fetch_file(RemoteFile("a file", (address,)), tmp_path / "came", config).digest


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("kind", ["http", "socks5", "socks5h", ""])
def test_a_download_goes_through_the_proxy(
    mirror: MirrorServer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, kind: str
) -> None:
    with ProxyServer(port_of(mirror)) as proxy:
        monkeypatch.setenv(variable, f"{kind}://127.0.0.1:{proxy.port}" if kind else f"127.0.0.1:{proxy.port}")
        came = fetch(FAR, tmp_path)
    assert came == file_digest(folder / "2" / "video" / "train" / "trainaa.tfrecord", "md5")
    assert [host.removesuffix(":80") for host in proxy.asked] == ["mirror.example"]  # whose name the proxy looks up


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_this_machine_is_reached_without(
    mirror: MirrorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with ProxyServer(port_of(mirror), refuses=502) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{kind}://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        for number, host in enumerate(("127.0.0.1", "localhost")):
            address = f"http://{host}:{port_of(mirror)}/2/video/train/trainaa.tfrecord"
            assert fetch(address, tmp_path / str(number))
    assert not proxy.asked


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what httpcore leaves of a connection to a SOCKS proxy that refuses, before another test would meet it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize(
    ("kind", "refuses", "said"),
    [
        pytest.param("http", 403, r"HTTP 403 \(Refused\)", id="403"),
        pytest.param("http", 407, r"HTTP 407 \(Refused\)", id="407"),
        pytest.param("http", 502, r"HTTP 502 \(Refused\)", id="502"),
        pytest.param("socks5", 1, "the connection failed: ", id="socks"),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("collected")
def test_a_refusal_names_the_proxy_without_its_password(
    mirror: MirrorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, refuses: int, said: str
) -> None:
    with ProxyServer(port_of(mirror), refuses=refuses) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{kind}://anna:hunter2@127.0.0.1:{proxy.port}")
        if kind == "socks5":
            proxy.password = "hunter2"
        with pytest.raises(DownloadError, match=said) as caught:
            fetch(FAR, tmp_path)
    assert rf"through the proxy {kind}://***@127.0.0.1:{proxy.port} (ALL_PROXY)" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_proxy_that_is_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://anna:hunter2@127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"the connection failed.* through the proxy http://\*\*\*@127\.0\.0\.1:9"):
        fetch(FAR, tmp_path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("socks4://127.0.0.1:1080", "of the kind 'socks4'"),
        ("socks://127.0.0.1:1080", "of the kind 'socks'"),
        ("ftp://127.0.0.1", "of the kind 'ftp'"),
        ("http://", "names no proxy: 'http://'"),
        ("http://host:port", "names no proxy: 'http://host:port'"),
        ("http://[::1", "names no proxy"),
        ("some words", "names no proxy: 'some words'"),
        ("http://anna:hunter2@host:99999", "names no proxy"),
    ],
)
def test_a_malformed_proxy_is_one_line_and_concerns_far_addresses_only(
    mirror: MirrorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    with pytest.raises(ConfigError, match=message) as caught:
        fetch(FAR, tmp_path)
    assert str(caught.value).startswith("HTTP_PROXY names")
    assert "hunter2" not in str(caught.value)
    assert fetch(f"{mirror.url}/2/video/train/trainaa.tfrecord", tmp_path / "near")


P = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environment", "address", "variable"),
    [
        pytest.param({"HTTPS_PROXY": P}, "https://a.example/", "HTTPS_PROXY", id="https"),
        pytest.param({"HTTP_PROXY": P}, "https://a.example/", None, id="http-is-not-https"),
        pytest.param({"http_proxy": "", "HTTP_PROXY": P}, "http://a.example/", None, id="lower-case-first"),
        pytest.param({"HTTP_PROXY": P, "ALL_PROXY": "socks5://x:1"}, "http://a.example/", "HTTP_PROXY", id="all-last"),
        pytest.param({"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, "http://a.example/", None, id="cgi"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "*"}, "http://a.example/", None, id="star"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "example"}, "http://a.example/", None, id="above"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": ".a.example"}, "http://a.example/", None, id="dot"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "*.a.example"}, "http://b.a.example/", None, id="star-dot"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "a.example"}, "http://aa.example/", "HTTP_PROXY", id="no-suffix"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "A.Example "}, "http://a.example/", None, id="case"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "x, ,,a.example"}, "http://a.example/", None, id="blanks"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "x a.example"}, "http://a.example/", None, id="by-blanks"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "a.example:80"}, "http://a.example/", None, id="port"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "a.example:81"}, "http://a.example/", "HTTP_PROXY", id="other-port"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3/", None, id="network"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "10.0.0.0/8"}, "http://11.1.2.3/", "HTTP_PROXY", id="other-network"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "fd00::/8"}, "http://[fd00::1]/", None, id="network-6"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "[fd00::1]:80"}, "http://[fd00::1]/", None, id="address-6"),
        pytest.param({"HTTP_PROXY": P, "NO_PROXY": "1/2/3,//,[,:"}, "http://a.example/", "HTTP_PROXY", id="nonsense"),
        pytest.param({"ALL_PROXY": P}, "http://127.0.0.1/", None, id="loopback"),
        pytest.param({"ALL_PROXY": P}, "http://127.8.9.1/", None, id="loopback-block"),
        pytest.param({"ALL_PROXY": P}, "http://127.1/", None, id="loopback-short"),
        pytest.param({"ALL_PROXY": P}, "http://[::1]:5000/", None, id="loopback-6"),
        pytest.param({"ALL_PROXY": P}, "http://LocalHost/", None, id="localhost"),
        pytest.param({"ALL_PROXY": P}, "http://a.localhost/", None, id="below-localhost"),
        pytest.param({"ALL_PROXY": P}, "http://localhost.example/", "ALL_PROXY", id="not-localhost"),
    ],
)
def test_which_addresses_go_through_a_proxy(
    environment: dict[str, str], address: str, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(address)
    assert (found.variable if found else None) == variable
