"""One file against every kind of mirror that does not behave."""

import hashlib
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tasks.contracts.errors import DiskSpaceError, DownloadError
from tasks.shards.config import DownloadConfig
from tasks.shards.mirror import RemoteFile
from tasks.shards.transfer import fetch_file
from tests.shards.conftest import PATH, Heard, noise, quick, wanted
from tests.support.mirror_server import Fault, MirrorServer, html, redirect, status

PLAIN = "2/video/train/trainaB.tfrecord"  # another file, for what is fetched without a digest


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "train0000.tfrecord"


def impatient(*faults: Fault) -> DownloadConfig:
    """Return a config with a short time-out where the test needs one to run out, and there alone."""
    is_silent = any(fault.hang_s or fault.stall_after is not None for fault in faults)
    return quick(read_timeout_s=0.3 if is_silent else 5.0, attempts=4)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_comes_whole_and_is_digested_on_the_way(server: MirrorServer, content: bytes, target: Path) -> None:
    heard = Heard()
    fetched = fetch_file(wanted(content, server), target, quick(), heard)
    assert target.read_bytes() == content
    assert (fetched.path, fetched.size_bytes, fetched.was_there) == (target, len(content), False)
    assert fetched.digest == hashlib.md5(content).hexdigest()
    assert heard.done == {"trainaa.tfrecord": len(content)}
    assert left_in(target.parent) == [target.name]


def test_a_file_that_is_there_is_not_asked_for(server: MirrorServer, content: bytes, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(content)
    assert fetch_file(wanted(content, server), target, quick()).was_there
    assert server.log == ()


def test_a_wrong_file_under_the_name_is_replaced(server: MirrorServer, content: bytes, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not fetch_file(wanted(content, server), target, quick()).was_there
    assert target.read_bytes() == content


def test_sha256_and_size_are_checked_too(server: MirrorServer, content: bytes, target: Path) -> None:
    url = f"{server.url}/{PATH}"
    digest = hashlib.sha256(content).hexdigest()
    fetched = fetch_file(RemoteFile("weights", (url,), digest, "sha256", len(content)), target, quick())
    assert fetched.digest == digest
    target.unlink()
    with pytest.raises(DownloadError, match=f"sends {len(content)} bytes or more, over the size promised of 9"):
        fetch_file(RemoteFile("weights", (url,), digest, "sha256", 9), target, quick())
    with pytest.raises(DownloadError, match=f"ends after {len(content)} of {len(content) + 1} bytes"):
        fetch_file(RemoteFile("weights", (url,), None, size_bytes=len(content) + 1), target, quick())
    assert not target.exists()


PASSING = [
    pytest.param((status(500),), id="500"),
    pytest.param((status(503), status(502)), id="503 then 502"),
    pytest.param((status(429, retry_after="0"),), id="429"),
    pytest.param((status(429, retry_after="soon"),), id="429 with a Retry-After that is none"),
    pytest.param((Fault(hang_s=2.0),), id="hang before the answer"),
    pytest.param((Fault(stall_after=100_000),), id="hang in the body"),
    pytest.param((Fault(cut_after=0),), id="cut at once"),
    pytest.param((Fault(cut_after=100_000), Fault(cut_after=100_000)), id="cut twice"),
    pytest.param((Fault(length_delta=1000),), id="length too large"),
    pytest.param((Fault(length_delta=-1000),), id="length too small"),
    pytest.param((Fault(corrupt=True),), id="wrong bytes"),
    pytest.param((html(),), id="a web page"),
    pytest.param((html(honest_type=False),), id="a web page that passes for binary"),
    pytest.param((Fault(body=b"<?xml version='1.0'?><Error>AccessDenied</Error>"),), id="XML"),
    pytest.param((Fault(body=b""),), id="nothing"),
    pytest.param((Fault(headers={"Content-Encoding": "gzip"}),), id="compressed"),
    pytest.param((Fault(cut_after=50_000), Fault(ignore_range=True)), id="cut, then ranges ignored"),
    pytest.param((Fault(cut_after=50_000), status(416)), id="cut, then 416"),
    pytest.param((Fault(cut_after=9_000), Fault(headers={"Content-Range": "bytes 0-8999/300000"})), id="wrong range"),
    pytest.param((Fault(cut_after=9_000), Fault(headers={"Content-Range": "rubbish"})), id="rubbish for a range"),
    pytest.param((Fault(cut_after=50_000), Fault(corrupt=True)), id="cut, then wrong bytes"),
    pytest.param((Fault(headers={"Transfer-Encoding": "gibberish"}),), id="not HTTP"),
]


@pytest.mark.parametrize("faults", PASSING)
def test_what_passes_is_tried_again(
    faults: tuple[Fault, ...], server: MirrorServer, content: bytes, target: Path
) -> None:
    server.script(PATH, *faults)
    heard = Heard()
    fetch_file(wanted(content, server), target, impatient(*faults), heard)
    assert target.read_bytes() == content
    assert left_in(target.parent) == [target.name]
    assert heard.done == {"trainaa.tfrecord": len(content)}  # what was thrown away has been taken back


@pytest.mark.parametrize("faults", PASSING)
def test_what_does_not_pass_ends_in_the_other_mirror(
    faults: tuple[Fault, ...], server: MirrorServer, other_server: MirrorServer, content: bytes, target: Path
) -> None:
    server.always(PATH, faults[-1])
    server.script(PATH, *faults[:-1])
    fetch_file(wanted(content, server, other_server), target, impatient(*faults))
    assert target.read_bytes() == content
    assert left_in(target.parent) == [target.name]


LASTING = [  # the fault, the reason given, and how many requests it takes
    pytest.param(status(500), r"HTTP 500 \(Internal Server Error\) \(attempt 3 of 3\)", 3, id="500"),
    pytest.param(status(403), r"HTTP 403 \(Forbidden\)", 1, id="403"),
    pytest.param(status(404), r"HTTP 404 \(Not Found\)", 1, id="404"),
    pytest.param(status(410), r"HTTP 410 \(Gone\)", 1, id="410"),
    pytest.param(status(304), r"HTTP 304 \(Not Modified\)", 1, id="304"),
    pytest.param(status(206), r"HTTP 206", 1, id="a part of what was not cut"),
    pytest.param(status(429), r"HTTP 429 \(Too Many Requests\) \(attempt 3", 3, id="429"),
    pytest.param(Fault(hang_s=5.0), "it fell silent", 3, id="hang"),
    pytest.param(Fault(drip_s=0.05), r"stalled: \d+ B in 0\.\d s", 3, id="drip"),
    pytest.param(Fault(corrupt=True), "sends other bytes than promised: 300000 of them with md5", 3, id="wrong md5"),
    pytest.param(Fault(length_delta=-1), "sends other bytes than promised: 299999 of them", 3, id="short"),
    pytest.param(Fault(body=b""), "sends other bytes than promised: 0 of them", 3, id="empty"),
    pytest.param(html(), r"sends a web page \(text/html: '<!DOCTYPE html><title>Sign", 3, id="a web page"),
    pytest.param(Fault(headers={"Content-Encoding": "br"}), "sends the file as br", 3, id="compressed"),
    pytest.param(redirect("ftp://127.0.0.1/x"), "leads astray: .*ftp://", 1, id="to another scheme"),
    pytest.param(redirect("file:///etc/passwd"), "leads astray: .*file://", 1, id="to a file"),
    pytest.param(redirect(f"/{PATH}"), "leads astray: .*redirects", 3, id="in a circle"),
]


@pytest.mark.parametrize(("fault", "reason", "requests"), LASTING)
def test_what_lasts_is_told_by_its_name(
    fault: Fault, reason: str, requests: int, server: MirrorServer, content: bytes, target: Path
) -> None:
    server.always(PATH, fault)
    config = quick(read_timeout_s=0.3 if fault.hang_s else 5, redirects=2)
    with pytest.raises(
        DownloadError, match=f"Could not fetch trainaa.tfrecord: {server.url}/{PATH}: .*{reason}.*--mirror"
    ):
        fetch_file(wanted(content, server), target, config)
    assert not target.exists()
    assert server.gets()[PATH] == requests


def test_every_mirror_that_failed_is_named(server: MirrorServer, other_server: MirrorServer, target: Path) -> None:
    server.always(PATH, status(403))
    other_server.always(PATH, status(404))
    with pytest.raises(DownloadError, match=f"{server.url}/.*403.*; {other_server.url}/.*404"):
        fetch_file(wanted(b"x", server, other_server), target, quick())
    assert left_in(target.parent) == []


def test_a_mirror_that_is_not_there_is_passed_over(server: MirrorServer, content: bytes, target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    file = wanted(content, server)
    gone = RemoteFile(file.label, (f"http://127.0.0.1:{port}/{PATH}", *file.sources), file.digest)
    fetch_file(gone, target, quick())
    assert target.read_bytes() == content
    with pytest.raises(DownloadError, match=r"the connection failed: .*(refused|Connect)"):
        fetch_file(RemoteFile("x", gone.sources[:1], file.digest), target.with_name("x"), quick())


def test_a_redirect_is_followed(server: MirrorServer, other_server: MirrorServer, content: bytes, target: Path) -> None:
    server.always(PATH, redirect(f"{other_server.url}/{PATH}"))
    fetch_file(wanted(content, server), target, quick())
    assert target.read_bytes() == content


def test_after_a_cut_only_the_missing_bytes_travel(server: MirrorServer, content: bytes, target: Path) -> None:
    server.script(PATH, Fault(cut_after=120_000))
    fetch_file(wanted(content, server), target, quick())
    assert [line.range for line in server.log] == [None, "bytes=120000-"]
    assert [line.bytes_sent for line in server.log] == [120_000, len(content) - 120_000]
    assert server.log[1].headers["if-range"]  # the ETag of the first answer


def test_a_part_of_an_earlier_run_is_gone_on_with(server: MirrorServer, content: bytes, target: Path) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").write_bytes(content[:200_000])
    fetch_file(wanted(content, server), target, quick())
    assert target.read_bytes() == content
    assert server.bytes_sent() == len(content) - 200_000
    assert left_in(target.parent) == [target.name]


def test_a_part_that_is_whole_needs_no_request(server: MirrorServer, content: bytes, target: Path) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").write_bytes(content)
    fetch_file(wanted(content, server), target, quick())
    assert target.read_bytes() == content
    assert server.log == ()


@pytest.mark.parametrize("size", [200_000, 300_000, 400_000], ids=["shorter", "as long", "longer"])
def test_a_part_of_something_else_is_thrown_away(size: int, server: MirrorServer, content: bytes, target: Path) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").write_bytes(noise(size, 99))
    fetch_file(wanted(content, server), target, quick())
    assert target.read_bytes() == content


def test_without_a_digest_a_part_of_before_is_not_trusted(server: MirrorServer, folder: Path, target: Path) -> None:
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").write_bytes(b"of another time")
    fetch_file(RemoteFile("a list", (f"{server.url}/{PLAIN}",)), target, quick())
    assert target.read_bytes() == (folder / PLAIN).read_bytes()


def test_without_a_digest_a_cut_file_is_resumed_by_its_etag(server: MirrorServer, folder: Path, target: Path) -> None:
    server.script(PLAIN, Fault(cut_after=70_000))
    fetch_file(RemoteFile("a list", (f"{server.url}/{PLAIN}",)), target, quick())
    assert target.read_bytes() == (folder / PLAIN).read_bytes()
    assert [line.range for line in server.log] == [None, "bytes=70000-"]


def test_without_a_digest_a_file_that_changes_on_the_way_comes_anew(
    server: MirrorServer, folder: Path, target: Path
) -> None:
    server.script(PLAIN, Fault(cut_after=70_000, headers={"ETag": '"an-older-version"'}))
    fetch_file(RemoteFile("a list", (f"{server.url}/{PLAIN}",)), target, quick())
    assert target.read_bytes() == (folder / PLAIN).read_bytes()
    assert server.log[-1].status == 200


def test_without_a_digest_or_an_etag_nothing_is_resumed(server: MirrorServer, folder: Path, target: Path) -> None:
    server.script(PLAIN, Fault(cut_after=70_000, headers={"ETag": 'W/"weak"'}))
    fetch_file(RemoteFile("a list", (f"{server.url}/{PLAIN}",)), target, quick())
    assert target.read_bytes() == (folder / PLAIN).read_bytes()
    assert [line.range for line in server.log] == [None, None]


def test_retry_after_in_seconds_is_waited_for(server: MirrorServer, content: bytes, target: Path) -> None:
    server.script(PATH, status(429, retry_after="1"))
    started_s = time.monotonic()
    fetch_file(wanted(content, server), target, quick())
    assert 1.0 <= time.monotonic() - started_s < 2.0


def test_retry_after_as_a_date_is_waited_for(server: MirrorServer, content: bytes, target: Path) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    server.script(PATH, status(503, retry_after=date))
    started_s = time.monotonic()
    fetch_file(wanted(content, server), target, quick())
    assert 0.9 <= time.monotonic() - started_s < 3.0  # the date has whole seconds


def test_retry_after_is_capped(server: MirrorServer, content: bytes, target: Path) -> None:
    server.script(PATH, status(429, retry_after="86400"))
    started_s = time.monotonic()
    fetch_file(wanted(content, server), target, quick(retry_after_max_s=0.2))
    assert time.monotonic() - started_s < 1.0


def test_a_server_that_never_ends_is_cut_off(server: MirrorServer, target: Path) -> None:
    with pytest.raises(DownloadError, match="sends 300000 bytes or more, over `largest_file_bytes` of 100000"):
        fetch_file(RemoteFile("x", (f"{server.url}/{PATH}",)), target, quick(largest_file_bytes=100_000))
    assert left_in(target.parent) == []


def test_a_body_without_a_length_is_bounded_as_well(target: Path) -> None:
    with _endless_server() as url, pytest.raises(DownloadError, match="over `largest_file_bytes` of 100000"):
        fetch_file(RemoteFile("x", (url,)), target, quick(largest_file_bytes=100_000, attempts=1))


def test_what_does_not_fit_is_refused_when_its_length_is_known(
    server: MirrorServer, content: bytes, target: Path
) -> None:
    with pytest.raises(
        DiskSpaceError, match=r"No room for trainaa.tfrecord in .*: 300 kB are needed.* 1126 TB of.*--limit"
    ):
        fetch_file(wanted(content, server), target, quick(reserve_bytes=1 << 50))
    assert left_in(target.parent) == []


def test_a_folder_that_cannot_be_written_to_is_named(server: MirrorServer, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match=r"Cannot write .*file/x: (Not a directory|File exists)"):
        fetch_file(wanted(content, server), tmp_path / "file" / "x", quick())


def test_a_part_that_is_a_link_is_not_written_through(server: MirrorServer, content: bytes, target: Path) -> None:
    victim = target.parent.parent / "victim"
    victim.write_text("precious")
    target.parent.mkdir()
    target.with_name(f"{target.name}.part").symlink_to(victim)
    with pytest.raises(DownloadError, match="Cannot write"):
        fetch_file(wanted(content, server), target, quick())
    assert victim.read_text() == "precious"


def test_a_file_on_this_machine_is_copied_and_checked(folder: Path, content: bytes, target: Path) -> None:
    digest = hashlib.md5(content).hexdigest()
    fetch_file(RemoteFile("x", (folder / "gone", folder / PATH), digest), target, quick())
    assert target.read_bytes() == content
    assert not target.samefile(folder / PATH)
    with pytest.raises(DownloadError, match=r"gone: No such file or directory.*trainaB.* sends other bytes"):
        fetch_file(RemoteFile("x", (folder / "gone", folder / PLAIN), digest), target.with_name("y"), quick())


def test_threads_that_want_the_same_file_fetch_it_once(server: MirrorServer, content: bytes, target: Path) -> None:
    server.latency_s = 0.3
    file = wanted(content, server)
    there: list[bool] = []
    threads = [
        threading.Thread(target=lambda: there.append(fetch_file(file, target, quick()).was_there)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(there) == [False, True, True, True]
    assert server.gets()[PATH] == 1
    assert left_in(target.parent) == [target.name]


class _endless_server:  # noqa: N801 - a context manager, used like a function
    """A server that says neither a length nor an end."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/x"

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            try:
                while True:
                    connection.sendall(b"x" * 10_000)
            except OSError:
                return

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._socket.close()
