"""The signals that end a command: the first one unwinds it, and what does not end then is ended.

SIGTERM, SIGHUP (the terminal was closed), SIGQUIT and SIGINT raise in the main thread, so that blocks are left,
temporary files go and servers are stopped; the other threads meet an error where they next tell of their progress.
A thread of its own hears of the signal even while the main one is in the midst of a decode: where the command has not
ended a few seconds later, or at a second Ctrl-C, it ends the processes that the command has started, deletes its
temporary files, and ends the command itself.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from tasks.contracts.progress import EndedError, end_all

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
GRACE_S = 7.0
AGAIN_S = 0.01
IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
EXIT_CODE_BASE = 128  # of a command that a signal has ended, as shells have it
SHOW_CURSOR = "\x1b[?25h"  # which a progress bar hides

_received: list[int] = []
_leaving = threading.Event()  # the command has done its work, or has been unwound
_said = threading.Lock()  # held by the thread that prints the last line


def catch_signals() -> None:
    """Handle the signals from now on. One that is ignored, as SIGHUP is below `nohup`, stays so."""
    caught = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    threading.Thread(target=_watch, args=(reading, frozenset(caught)), name="signals", daemon=True).start()
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in caught:
        signal.signal(number, _raise)
    sys.unraisablehook = _raise_elsewhere
    os.register_at_fork(after_in_child=_forget)


def leave() -> int | None:
    """Let signals raise no more, and return what the command exits with if one has ended it, which is then told."""
    _leaving.set()
    if not _received:
        return None
    _say_last()
    return EXIT_CODE_BASE + _received[0]


def _say_last() -> None:
    if not _said.acquire(blocking=False):
        return
    how = "Interrupted" if _received[0] == signal.SIGINT else f"Ended by {signal.Signals(_received[0]).name}"
    with suppress(OSError):  # the terminal is gone
        shown = SHOW_CURSOR if os.isatty(2) else ""
        os.write(2, f"{shown}{how}. What was finished is kept: the same command goes on from there.\n".encode())


def _raise(number: int, frame: FrameType | None) -> None:
    if _leaving.is_set():
        return
    _received.append(number)
    if frame is not None and frame.f_code.co_filename == IMPORT_SYSTEM:
        _signal_again()  # an error just there may leave the lock of all imports taken
    else:
        if number != signal.SIGTERM and signal.getsignal(signal.SIGTERM) is not _raise:
            signal.raise_signal(signal.SIGTERM)  # for which a flow of Prefect's waits: it cancels its tasks
        raise EndedError


def _raise_elsewhere(unraisable: "UnraisableHookArgs") -> None:
    """Raise once more what Python drops, as it does in finalisers and the callbacks of weak references."""
    if isinstance(unraisable.exc_value, EndedError):
        _signal_again()
    else:
        sys.__unraisablehook__(unraisable)


def _signal_again() -> None:
    # SIGTERM, of which a second one does not end the command at once, as a second Ctrl-C does.
    sending = threading.Timer(AGAIN_S, signal.pthread_kill, (threading.main_thread().ident, signal.SIGTERM))
    sending.daemon = True
    sending.start()


def _watch(reading: int, caught: frozenset[int]) -> None:
    """Wait for the first signal, then for the command's end, a second signal, or the last moment."""
    heard = _next_signal(reading, caught)
    end_all()
    threading.Thread(target=_end_at_second, args=(reading,), daemon=True).start()
    time.sleep(GRACE_S)
    _end_now(heard)


def _end_at_second(reading: int) -> None:
    # Prefect sends SIGTERM once more when its flow has ended, so that one does not count.
    _end_now(_next_signal(reading, frozenset({signal.SIGINT})))


def _next_signal(reading: int, caught: frozenset[int]) -> int:
    while True:
        (number,) = os.read(reading, 1)
        if number in caught:
            return number


def _end_now(number: int) -> NoReturn:
    """End the command, which has not ended by itself."""
    _received.append(number)
    import psutil  # signals are caught before anything that takes time is imported

    from tasks.contracts.files import remove_unfinished

    with suppress(psutil.Error):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                process.kill()
    remove_unfinished()
    _say_last()
    os._exit(EXIT_CODE_BASE + _received[0])


def _forget() -> None:
    """Let a forked process die of signals as any other does; the pipe is its parent's."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        if signal.getsignal(number) is _raise:
            signal.signal(number, signal.SIG_DFL)
