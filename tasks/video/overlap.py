"""Work that overlaps: a producer ahead of its consumer, a consumer behind its producer.

In: an iterable, or calls. Out: the same things in the same order, made in another thread and bounded in number. Does
not know what is made. FFmpeg, ONNX Runtime, OpenCV and PyTorch let other threads run while they work.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

ItemT = TypeVar("ItemT")
_END = object()
POLL_S = 0.1  # how soon a producer notices that nobody wants more


def ahead(iterable: Iterable[ItemT], *, buffer: int) -> Generator[ItemT]:
    """Yield what `iterable` yields, up to `buffer` items of it made ahead in a thread of their own."""
    items: queue.Queue[Any] = queue.Queue(maxsize=buffer)
    closed = threading.Event()
    failure: list[BaseException] = []

    def offer(item: object) -> bool:
        while not closed.is_set():
            try:
                items.put(item, timeout=POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in iterable:
                if not offer(item):
                    break
        except BaseException as error:  # noqa: BLE001 - it is raised again where the items are consumed
            failure.append(error)
        offer(_END)

    thread = threading.Thread(target=produce, name="ahead", daemon=True)
    thread.start()
    try:
        while (item := items.get()) is not _END:
            yield item
        if failure:
            raise failure[0]
    finally:
        closed.set()
        thread.join()


class Behind:
    """Calls made in order by one thread, while the caller goes on; at most `buffer` wait."""

    def __init__(self, buffer: int = 4) -> None:
        self._calls: queue.Queue[Any] = queue.Queue(maxsize=buffer)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="behind", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        """Wait for the calls, and raise what one of them raised; after an error of the block's own, drop the rest."""
        if error is not None and self._failure is None:
            self._failure = error
        self._calls.put(None)
        self._thread.join()
        if error is None and self._failure is not None:
            raise self._failure

    def submit(self, call: Callable[..., object], *arguments: object) -> None:
        """Let `call` be made after those before it.

        Raises:
            BaseException: what an earlier call raised.
        """
        if self._failure is not None:
            raise self._failure
        self._calls.put((call, arguments))

    def _work(self) -> None:
        while (work := self._calls.get()) is not None:
            if self._failure is None:
                call, arguments = work
                try:
                    call(*arguments)
                except BaseException as error:  # noqa: BLE001 - it is raised again where calls are submitted
                    self._failure = error
