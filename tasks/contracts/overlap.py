"""Stages that work ahead or side by side in threads of their own, and the seconds that each took."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

ItemT = TypeVar("ItemT")
_END = object()
POLL_S = 0.1  # how soon a producer notices that nobody wants more


def ahead(iterable: Iterable[ItemT], *, buffer: int) -> Generator[ItemT]:
    """Yield what `iterable` yields, up to `buffer` items of it made ahead in a thread of their own.

    What the producer raises is raised here, after the items that came before it. Closing this generator, as
    `contextlib.closing` does, ends the producer and waits for it.
    """
    items: queue.Queue[Any] = queue.Queue(maxsize=buffer)
    closed = threading.Event()
    failure: list[BaseException] = []

    def produce() -> None:
        iterator = iter(iterable)
        try:
            _hand_over(iterator, items, closed)
            if isinstance(iterator, Generator):
                iterator.close()  # here, in the thread in which it ran, and before the consumer goes on
        except BaseException as error:  # noqa: BLE001 - it is raised again where the items are consumed
            failure.append(error)
        _offer(_END, items, closed)

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


def _hand_over(iterator: Iterator[object], items: queue.Queue[Any], closed: threading.Event) -> None:
    for item in iterator:
        if not _offer(item, items, closed):
            return


def _offer(item: object, items: queue.Queue[Any], closed: threading.Event) -> bool:
    """Wait until there is room for an item; say whether anybody still wants it."""
    while not closed.is_set():
        try:
            items.put(item, timeout=POLL_S)
        except queue.Full:
            continue
        return True
    return False


GivenT = TypeVar("GivenT")
MadeT = TypeVar("MadeT")


def side_by_side(call: Callable[[GivenT], MadeT], items: Iterable[GivenT], count: int) -> Iterator[MadeT]:
    """Yield what `call` makes of each item, in their order; `count` of them are worked on at once."""
    if count <= 1:
        yield from map(call, items)
        return
    with ThreadPoolExecutor(count, "side-by-side") as pool:
        yield from in_order(pool, call, items, count)


def in_order(
    pool: ThreadPoolExecutor, call: Callable[[GivenT], MadeT], items: Iterable[GivenT], waiting: int
) -> Iterator[MadeT]:
    """Yield what `call` makes of each item in a pool, in their order; at most `waiting` are asked for ahead."""
    pending = deque[Future[MadeT]]()
    try:
        for item in items:
            pending.append(pool.submit(call, item))
            if len(pending) > waiting:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


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


TimedT = TypeVar("TimedT")

DIGITS = 3


class StageClock:
    """Seconds of work a stage; one thread at a time works at one stage, so nothing is locked."""

    def __init__(self, *stages: str) -> None:
        self._started_s = time.perf_counter()
        self._seconds = dict.fromkeys(stages, 0.0)

    @contextmanager
    def measuring(self, stage: str) -> Iterator[None]:
        """Count the time of the block as work of `stage`; waiting for a core counts too."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage] += time.perf_counter() - started_s

    def drawing_from(self, items: Iterable[TimedT], stage: str) -> Iterator[TimedT]:
        """Yield the items, and count the time that each took to come as work of `stage`."""
        iterator = iter(items)
        while True:
            with self.measuring(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of work, by stage."""
        return {stage: round(seconds, DIGITS) for stage, seconds in self._seconds.items()}

    @property
    def wall_seconds(self) -> float:
        """Seconds since the clock was made."""
        return round(time.perf_counter() - self._started_s, DIGITS)
