"""Real proxies on loopback, HTTP and SOCKS5, that find every name at one place; what went through them is kept."""

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

SOCKS_OK = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


class ProxyServer:
    """Speaks HTTP and SOCKS5 on one port; with `password`, SOCKS asks for one.

    Args:
        target: port of 127.0.0.1 to which everything leads, whatever was asked for.
        refuses: answer every request so (HTTP status), or close it (SOCKS).
    """

    def __init__(self, target: int, *, password: str | None = None, refuses: int | None = None) -> None:
        self.target, self.password, self.refuses = target, password, refuses
        self.asked: list[str] = []  # host:port of everything that went through
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, ConnectionError):
            first = client.recv(1, socket.MSG_PEEK)
            if first == b"\x05":
                self._serve_socks(client)
            elif first:
                self._serve_http(client)

    def _serve_http(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            block = client.recv(65536)
            if not block:
                return
            head += block
        line, _, rest = head.partition(b"\r\n")
        method, address, _ = line.decode().split(" ")
        if self.refuses:
            self.asked.append(address)
            client.sendall(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % self.refuses)
            return
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            if method == "CONNECT":
                self.asked.append(address)
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                parts = urlsplit(address)
                self.asked.append(parts.netloc)
                path = parts.path + (f"?{parts.query}" if parts.query else "")
                server.sendall(
                    f"{method} {path} HTTP/1.1\r\nConnection: close\r\n".encode() + _without_connection(rest)
                )
            _both_ways(client, server)

    def _serve_socks(self, client: socket.socket) -> None:
        _, count = _read(client, 2)
        methods = _read(client, count)
        wanted = 2 if self.password else 0
        client.sendall(bytes([5, wanted if wanted in methods else 0xFF]))
        if wanted not in methods:
            return
        if self.password:
            _, length = _read(client, 2)
            _read(client, length)
            given = _read(client, _read(client, 1)[0])
            right = given == self.password.encode()
            client.sendall(bytes([1, 0 if right else 1]))
            if not right:
                return
        _, _, _, kind = _read(client, 4)
        host = _read(client, _read(client, 1)[0]).decode() if kind == 3 else socket.inet_ntoa(_read(client, 4))
        (port,) = struct.unpack(">H", _read(client, 2))
        self.asked.append(f"{host}:{port}")
        if self.refuses:
            client.sendall(b"\x05\x02" + SOCKS_OK[2:])  # not allowed by the rules (RFC 1928)
            return
        with socket.create_connection(("127.0.0.1", self.target)) as server:
            client.sendall(SOCKS_OK)
            _both_ways(client, server)


def _without_connection(head: bytes) -> bytes:
    fields, _, body = head.partition(b"\r\n\r\n")
    kept = [line for line in fields.split(b"\r\n") if not line.lower().startswith((b"connection:", b"proxy-"))]
    return b"\r\n".join(kept) + b"\r\n\r\n" + body


def _read(client: socket.socket, count: int) -> bytes:
    came = b""
    while len(came) < count:
        block = client.recv(count - len(came))
        if not block:
            raise ConnectionError
        came += block
    return came


def _both_ways(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_pass_on, args=(other, one), daemon=True)
    back.start()
    _pass_on(one, other)
    back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65536):
            sink.sendall(block)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
