"""A TCP relay on loopback that can be cut: a server that goes away and comes back, without ending it."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class Relay:
    """Forwards connections to a port while it is up; cut, it closes all and refuses new ones."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._up = threading.Event()
        self._up.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._cut_after: int | None = None
        self.sent = 0  # bytes towards the server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._listener.close()

    def cut(self) -> None:
        """Close every connection, and refuse others until `heal`."""
        self._up.clear()
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def heal(self) -> None:
        """Forward connections again."""
        self._up.set()

    def cut_for(self, seconds: float, *, after_bytes: int) -> None:
        """Be cut for a while, once so many bytes more have gone to the server."""
        self._seconds, self._cut_after = seconds, self.sent + after_bytes

    @property
    def was_cut(self) -> bool:
        """Whether the cut that `cut_for` asked for has come."""
        return self._cut_after is None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._up.is_set():
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            with self._lock:
                self._open |= {client, server}
            for source, sink, counts in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._forward, args=(source, sink, counts), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                sink.sendall(data)
                if counts:
                    self.sent += len(data)
                    if self._cut_after is not None and self.sent >= self._cut_after:
                        self._cut_after = None
                        self.cut()
                        threading.Timer(self._seconds, self.heal).start()
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
        source.close()  # the other direction closes the other one
