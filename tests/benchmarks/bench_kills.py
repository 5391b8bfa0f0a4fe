"""Commands ended by TERM, HUP, QUIT and KILL in their work, what of them is left 10 s later, and the next run."""

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from tasks.records.synthetic import write_mirror
from tests.reelsift.test_cli import reelsift
from tests.support.ended_commands import GONE_WITHIN_S, left_after, ports_of, processes_of, started, wait_for
from tests.support.local_stack import free_port
from tests.support.media import shades, write_video
from tests.support.mirror_server import MirrorServer
from tests.support.square_network import square_network

TIMES = int(os.environ.get("REELSIFT_KILLS", "5"))
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL)
BYTES_PER_S = 20_000
LATER_S = 4.0  # at most, after a command has begun its work
WITHIN_WORK_S = 25.0


def rows() -> Iterator[tuple[str, str, str]]:
    """Measure in a temporary folder."""
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN:  # as in a shell's background: the commands would ignore it, too
            signal.signal(number, signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        write_mirror(top / "mirror")
        weights = top / "weights"
        weights.mkdir()
        (weights / "yolox_nano.onnx").write_bytes(square_network())
        clip, short = (write_video(top / f"{frames}.mp4", shades(frames)) for frames in (20_000, 20))
        trained = reelsift("dataset", "build", "--label", "Cooking", "--mirror", top / "mirror", home=top / "train")
        assert trained.returncode == 0, trained.stderr
        with MirrorServer(top / "mirror", bytes_per_s=BYTES_PER_S) as slow:
            ports = ("--prefect-port", free_port(), "--mlflow-port", free_port())
            commands = {
                "build": ("dataset", "build", "--label", "Cooking", "--mirror", slow.url),
                "train": ("train", "--again"),
                "label": ("label", clip, "--again", "--fps", "20", "--out", top / "out"),
                "detect": ("detect", clip, "--again", "--detector", "yolox-nano", "--out", top / "out"),
                "up": ("up", *ports),
            }
            # What is run after the last kill takes less time: from the folder of shards, of a short video.
            following = {
                name: tuple({slow.url: top / "mirror", clip: short}.get(word, word) for word in command)
                for name, command in commands.items()
            }
            temporary = top / "temporary"
            temporary.mkdir()
            environment = {"REELSIFT_WEIGHTS": str(weights), "TMPDIR": str(temporary)}
            for name in os.environ.get("REELSIFT_KILLED", " ".join(commands)).split():
                yield _row(name, commands[name], following[name], top / name, environment)


def _row(
    name: str, command: tuple[object, ...], then: tuple[object, ...], home: Path, environment: dict[str, str]
) -> tuple[str, str, str]:
    delays = random.Random(0)
    beside = {path.name for path in home.parent.iterdir()} | {home.name, "out"}
    slowest_s, ended, left = 0.0, 0, list[str]()
    for number in SIGNALS * TIMES:
        for path in (home / "shards").rglob("*.part"):
            path.unlink()
        with started(home, *command, **environment) as process:
            wait_for(process, _at_work(home, process.pid, name))
            with suppress(psutil.Error):
                time.sleep(delays.uniform(0, LATER_S))
            ports = ports_of(processes_of(home))
            began_s = time.monotonic()
            ended += process.poll() is None
            process.send_signal(number)
            with suppress(Exception):
                process.wait(GONE_WITHIN_S)
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            found = left_after(home, ports, GONE_WITHIN_S - (time.monotonic() - began_s))
            left += [f"{number.name}: {', '.join(found)}"] if found else []
        reelsift("down", home=home)
    following = reelsift(*then, home=home, **environment)  # after the last kill, with what it left
    reelsift("down", home=home)
    strays = [path for path in home.parent.iterdir() if path.name not in beside]
    strays += Path(environment["TMPDIR"]).iterdir()
    left += [f"outside the home: {', '.join(path.name for path in strays)}"] if strays else []
    left += [f"then {following.returncode}: {following.stderr.strip()[-300:]}"] if following.returncode else []
    what = f"{name}: ended {ended} times in the midst of it, the slowest in {slowest_s:.1f} s"
    return what, f"{len(left)} left something {'; '.join(left)}".strip(), "0 left something"


def _at_work(home: Path, pid: int, name: str) -> Callable[[], bool]:
    """Say whether a command has begun: it has opened its video, or has a server or other children."""

    def is_at_work() -> bool:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if name in {"label", "detect"}:
                return any(file.path.endswith(".mp4") for file in process.open_files())
            return bool(process.children())
        return True

    return is_at_work
