"""Work in other threads: in order, bounded, and honest about what fails."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tasks.contracts.overlap import Behind, ahead


class Counting:
    """Yields numbers, and knows how many were asked for and where it was closed."""

    def __init__(self, count: int, failing_at: int | None = None) -> None:
        self.made = 0
        self.closed_in: str | None = None
        self._count, self._failing_at = count, failing_at

    def __iter__(self) -> Iterator[int]:
        try:
            for number in range(self._count):
                if number == self._failing_at:
                    raise ValueError(f"no {number}")
                self.made += 1
                yield number
        finally:
            self.closed_in = threading.current_thread().name


def _settled(source: Counting) -> int:
    """Return how many were made once nobody makes more."""
    seen = -1
    while seen != source.made:
        seen = source.made
        time.sleep(0.05)
    return seen


@pytest.mark.parametrize("count", [0, 1, 100])
def test_ahead_keeps_the_order(count: int) -> None:
    assert list(ahead(Counting(count), buffer=3)) == list(range(count))


def test_ahead_is_bounded() -> None:
    source = Counting(100)
    with closing(ahead(source, buffer=3)) as numbers:
        assert next(numbers) == 0
        assert _settled(source) == 5  # one taken, three waiting, one in hand


def test_ahead_makes_nothing_before_it_is_asked() -> None:
    source = Counting(5)
    ahead(source, buffer=3)
    assert _settled(source) == 0


def test_ahead_raises_after_what_came_before() -> None:
    numbers = ahead(Counting(10, failing_at=2), buffer=5)
    assert [next(numbers), next(numbers)] == [0, 1]
    with pytest.raises(ValueError, match="no 2"):
        next(numbers)


def test_closing_ahead_ends_the_producer_in_its_own_thread() -> None:
    source = Counting(1_000_000)
    before = threading.active_count()
    with closing(ahead(source, buffer=2)) as numbers:
        next(numbers)
    assert threading.active_count() == before
    assert source.made < 10
    assert source.closed_in == "ahead"


def test_an_error_of_the_consumer_ends_the_producer() -> None:
    source = Counting(1_000_000)

    def consume() -> None:
        with closing(ahead(source, buffer=2)) as numbers:
            for _ in numbers:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert source.closed_in == "ahead"


def test_ahead_of_ahead() -> None:
    doubled = (number * 2 for number in ahead(Counting(50), buffer=2))
    assert list(ahead(doubled, buffer=2)) == list(range(0, 100, 2))


def test_behind_keeps_the_order() -> None:
    done: list[int] = []
    with Behind(buffer=2) as behind:
        for number in range(50):
            behind.submit(done.append, number)
    assert done == list(range(50))


def test_behind_is_bounded() -> None:
    gate, submitted = threading.Event(), []

    def submit_all(behind: Behind) -> None:
        for number in range(10):
            behind.submit(gate.wait)
            submitted.append(number)

    with Behind(buffer=3) as behind:
        thread = threading.Thread(target=submit_all, args=(behind,))
        thread.start()
        time.sleep(0.2)
        assert len(submitted) == 4  # one at work, three waiting
        gate.set()
        thread.join()


def _fail(number: int) -> None:
    raise OSError(f"disk full at {number}")


def test_behind_raises_at_the_end_and_makes_no_later_call() -> None:
    done: list[int] = []

    def work() -> None:
        with Behind(buffer=5) as behind:
            behind.submit(done.append, 0)
            behind.submit(_fail, 1)
            with suppress(OSError):  # where it has failed by now
                behind.submit(done.append, 2)

    with pytest.raises(OSError, match="disk full at 1"):
        work()
    assert done == [0]


def test_behind_raises_at_the_next_call() -> None:
    submitted: list[int] = []

    def work() -> None:
        with Behind(buffer=1) as behind:
            behind.submit(_fail, 7)
            for number in range(1000):
                time.sleep(0.001)
                behind.submit(time.sleep, 0)
                submitted.append(number)

    with pytest.raises(OSError, match="disk full at 7"):
        work()
    assert len(submitted) < 999


def test_after_an_error_of_the_block_the_rest_is_dropped() -> None:
    done: list[float] = []

    def slow(number: int) -> None:
        time.sleep(0.05)
        done.append(number)

    def work() -> None:
        with Behind(buffer=8) as behind:
            for number in range(8):
                behind.submit(slow, number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert len(done) <= 2
