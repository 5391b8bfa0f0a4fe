"""A real HTTP/1.1 server over a folder: keep-alive, ranges, a request log, and faults on demand.

`python -m tests.support.mirror_server FOLDER --latency-s 0.05` serves until it is interrupted;
`MirrorProcess` does that in a process of its own, so that a benchmark's client keeps its interpreter to itself.
"""

import argparse
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

SEND_BYTES = 1 << 16
FOREVER_S = 600.0


@dataclass(frozen=True)
class Fault:
    """How one answer differs from the right one; the fields can be combined."""

    status: int | None = None  # answer this status with a short text instead of the file
    headers: Mapping[str, str] = field(default_factory=dict)  # set or replaced
    body: bytes | None = None  # sent in place of the file
    hang_s: float = 0.0  # wait this long before the status line
    cut_after: int | None = None  # drop the connection after so many bytes of the body
    stall_after: int | None = None  # say nothing more after so many bytes of the body
    length_delta: int = 0  # added to the Content-Length; the body stays as it is
    no_length: bool = False  # no Content-Length: the connection's end is the body's
    corrupt: bool = False  # the first byte of the body is flipped
    ignore_range: bool = False  # the whole file with 200, whatever was asked for
    drip_s: float = 0.0  # send the body byte by byte with this pause


def status(code: int, **headers: str) -> Fault:
    """Answer `code`; `retry_after="2"` becomes the header Retry-After."""
    return Fault(status=code, headers={name.replace("_", "-").title(): value for name, value in headers.items()})


def html(*, honest_type: bool = True) -> Fault:
    """Answer 200 with a web page, said to be one or said to be binary."""
    kind = "text/html; charset=utf-8" if honest_type else "application/octet-stream"
    return Fault(body=b"<!DOCTYPE html><title>Sign in</title>", headers={"Content-Type": kind})


def redirect(location: str) -> Fault:
    """Answer 302 to `location`."""
    return Fault(status=302, headers={"Location": location})


@dataclass(frozen=True)
class Request:
    """One line of the log."""

    method: str
    path: str
    range: str | None
    status: int
    bytes_sent: int  # of the body
    connection: int  # counted from 1
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)  # names in lower case


class MirrorServer:
    """Serves `folder` on a free port of 127.0.0.1 while the `with` block runs."""

    def __init__(self, folder: Path, latency_s: float = 0.0, bytes_per_s: float | None = None) -> None:
        self.folder = folder.resolve()
        self.latency_s = latency_s
        self.bytes_per_s = bytes_per_s
        self.stopping = threading.Event()
        self._lock = threading.Condition()
        self._log: dict[int, Request] = {}  # by the number of the request, as one may begin before the last one ends
        self._gets: Counter[str] = Counter()
        self._connections = 0
        self._begun = 0
        self._busy = 0
        self._busiest = 0
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._lasting: dict[str, Fault] = {}
        self._server = _Server(("127.0.0.1", 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, path: str, *faults: Fault) -> None:
        """Let the next GETs of `path` meet these faults, one each; after them all is well."""
        with self._lock:
            self._faults[_normal(path)].extend(faults)

    def always(self, path: str, fault: Fault) -> None:
        """Let every GET and HEAD of `path` meet `fault`; `*` stands for every path."""
        with self._lock:
            self._lasting[_normal(path) if path != "*" else path] = fault

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()
            self._lasting.clear()

    @property
    def log(self) -> tuple[Request, ...]:
        """Every request that has been answered, in the order in which they came.

        A client has its answer a moment before the server is done with it, so that moment is waited for.
        """
        with self._lock:
            self._lock.wait_for(lambda: self._busy == 0, timeout=0.5)
            return tuple(self._log[number] for number in sorted(self._log))

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        return self._connections

    @property
    def busiest(self) -> int:
        """The most requests that were in work at one time."""
        return self._busiest

    def bytes_sent(self, path: str | None = None) -> int:
        """Bytes of bodies sent, of one path or of all."""
        return sum(line.bytes_sent for line in self.log if path is None or line.path == _normal(path))

    def gets(self) -> Counter[str]:
        """How often each path has been asked for with GET, whether answered yet or not."""
        with self._lock:
            return Counter(self._gets)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.drop_connections()
        self._server.server_close()

    def connected(self) -> int:
        """Count a new connection and return its number."""
        with self._lock:
            self._connections += 1
            return self._connections

    def begin(self, method: str, path: str) -> tuple[int, Fault]:
        """Note that a request is in work, and return its number and how to answer it."""
        with self._lock:
            self._begun += 1
            self._busy += 1
            self._busiest = max(self._busiest, self._busy)
            if method == "GET":
                self._gets[path] += 1
                if self._faults[path]:
                    return self._begun, self._faults[path].popleft()
            return self._begun, self._lasting.get(path) or self._lasting.get("*") or Fault()

    def end(self, number: int, line: Request) -> None:
        """Write a line of the log."""
        with self._lock:
            self._busy -= 1
            self._log[number] = line
            self._lock.notify_all()


class _Server(ThreadingHTTPServer):
    """Threads that end with the server, and no tracebacks for clients that hang up."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: partial["_Handler"]) -> None:
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        assert isinstance(request, socket.socket)
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        with self._open_lock:
            for connection in self._open:
                _shut(connection)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Slice:
    """Some bytes of a file, not read yet."""

    file: Path
    first: int
    length: int

    def read(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.first)
            return file.read(self.length)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for files below the server's folder."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a delayed ACK adds 40 ms to every answer on a kept connection

    def __init__(self, mirror: MirrorServer, *arguments: object) -> None:
        self.mirror = mirror
        self.number = mirror.connected()
        self.sent = 0
        self.code = 0
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own names
        """Say nothing: the log is kept, not printed."""

    def _serve(self) -> None:
        path = _normal(urlsplit(self.path).path)
        number, fault = self.mirror.begin(self.command, path)
        self.sent = self.code = 0
        try:
            self.mirror.stopping.wait(self.mirror.latency_s + fault.hang_s)
            self._answer(path, fault)
        finally:
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = self.headers["Range"]
            self.mirror.end(number, Request(self.command, path, asked, self.code, self.sent, self.number, headers))

    def _answer(self, path: str, fault: Fault) -> None:
        file = (self.mirror.folder / path).resolve()
        if fault.status is not None:
            self._send(fault.status, b"fault\n", fault)
        elif not file.is_relative_to(self.mirror.folder) or not file.is_file():
            self._send(404, b"no such file\n", fault)
        elif fault.body is not None:
            self._send(200, fault.body, fault)
        else:
            self._send_file(file, fault)

    def _send_file(self, file: Path, fault: Fault) -> None:
        """Send the file or the range of it that was asked for; `If-Range` counts by the strong ETag."""
        size = file.stat().st_size
        tag = f'"{file.stat().st_mtime_ns:x}-{size:x}"'
        named = {"ETag": tag, "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True)}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        if fault.ignore_range or not wanted or self.headers["If-Range"] not in {None, tag}:
            self._send(200, _Slice(file, 0, size), fault, named)
            return
        first = int(wanted[1])
        last = min(int(wanted[2] or size - 1), size - 1)
        if first > last:
            self._send(416, b"", fault, named | {"Content-Range": f"bytes */{size}"})
            return
        named["Content-Range"] = f"bytes {first}-{last}/{size}"
        self._send(206, _Slice(file, first, last + 1 - first), fault, named)

    def _send(self, code: int, body: "bytes | _Slice", fault: Fault, headers: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.send_response(code)
        length = body.length if isinstance(body, _Slice) else len(body)
        said = {"Content-Type": "application/octet-stream", "Content-Length": str(length + fault.length_delta)}
        if fault.no_length or fault.length_delta < 0:  # what comes behind the body would be the next answer
            said |= {"Connection": "close"}
        if fault.no_length:
            del said["Content-Length"]
        for name, value in (said | dict(headers or {}) | dict(fault.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if isinstance(body, _Slice) and fault == Fault() and not self.mirror.bytes_per_s:
            with body.file.open("rb") as file:  # by the kernel alone, so that a benchmark measures its client
                self.sent = self.connection.sendfile(file, body.first, body.length) if body.length else 0
        else:
            self._send_body(body.read() if isinstance(body, _Slice) else body, fault)

    def _send_body(self, body: bytes, fault: Fault) -> None:
        ends = [end for end in (fault.cut_after, fault.stall_after) if end is not None]
        if fault.corrupt and body:
            body = bytes([body[0] ^ 0xFF]) + body[1:]
        view = memoryview(body)[: min(ends, default=len(body))]
        step = 1 if fault.drip_s else SEND_BYTES
        for start in range(0, len(view), step):
            if self.mirror.stopping.wait(fault.drip_s) if fault.drip_s else self.mirror.stopping.is_set():
                break
            self.wfile.write(view[start : start + step])
            self.sent += len(view[start : start + step])
            if self.mirror.bytes_per_s:
                time.sleep(step / self.mirror.bytes_per_s)
        if fault.stall_after is not None:
            self.mirror.stopping.wait(FOREVER_S)
        if ends or fault.length_delta:
            _shut(self.connection)
            self.close_connection = True


class MirrorProcess:
    """The same server, without faults, in a process of its own."""

    def __init__(self, folder: Path, latency_s: float = 0.0) -> None:
        self._command = [sys.executable, "-m", __name__, str(folder), "--latency-s", str(latency_s)]
        self.url = ""

    def __enter__(self) -> Self:
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, cwd=root)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()


def _normal(path: str) -> str:
    return unquote(path).strip("/")


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency-s", type=float, default=0.0)
    arguments = parser.parse_args()
    with MirrorServer(arguments.folder, arguments.latency_s) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    _main()
