"""Commands that start warm: forked from a process that has imported the large libraries, none of this project's code.

Two thirds of what a typed command costs a processor is the import of PyTorch, Prefect and MLflow, the same each time.
The first time that a command is typed it starts as a person starts it. Later ones run the same installed script in
a fork: a process of its own with its own environment, folder and streams, and with an exit code or a signal that ends
it. What was imported lies aside until it is asked for, so that nothing is there which the command does not import, and
Prefect reads its settings when it is.

One such process serves all that test at once, and ends when the last of them has.
"""

import array
import atexit
import fcntl
import gc
import json
import multiprocessing.process
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

# Those whose import starts no thread that a fork would lack: `onnxruntime` is none.
LIBRARIES = (
    "typer", "rich.console", "rich.progress", "rich.table", "httpx", "pydantic_settings", "numpy.lib.stride_tricks",
    "pyarrow.parquet", "pyarrow.compute", "av", "av.filter", "cv2", "PIL.Image", "psutil", "torch", "torch.nn",
    "torch.optim.adamw", "torch.optim.swa_utils", "prefect.flows", "prefect.tasks", "prefect.task_runners",
    "prefect.artifacts", "prefect.client.orchestration", "prefect.events", "prefect.deployments", "mlflow",
    "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.artifact.local_artifact_repo",
    "sqlalchemy.pool", "sqlite3", "jinja2", "safetensors",
)  # fmt: skip
# What those read while they are imported; and no command is asked for what a project's package reads.
QUIET = {"PYDANTIC_DISABLE_PLUGINS": "1", "DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
# Variables by which Python, the system or a shell's completion treats a process from its first moment on.
COLD = ("PYTHON", "LD_", "MALLOC", "OMP_", "_REELSIFT_", "_TYPER", "MLFLOW_", "MPL", "LC_", "LANG")
PREFECT = "prefect"
NAME = "warm"
ALONE_S = 60.0
CAN_FORK = hasattr(os, "pidfd_open")  # on Linux


chosen: "Warm | None" = None  # of the tests of this process


class Warm:
    """The way to the process from which commands are forked; it is started when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connection: socket.socket | None = None
        self._busy = threading.Lock()

    def run(
        self, script: Path, words: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str] | None:
        """Run the script with these words; None: it has to be started as any other, as if it were the first time."""
        changed = {name for name in env.keys() | os.environ.keys() if env.get(name) != os.environ.get(name)}
        if not CAN_FORK or any(name.startswith(COLD) for name in changed) or not self._busy.acquire(blocking=False):
            return None
        try:
            if self._is_first(words):
                return None
            try:
                connection = self._connection or self._connected()
            except OSError:
                return None  # it cannot be started here, or the path of its socket is too long for the system
            return _run(connection, {"script": str(script), "words": list(words), "cwd": str(cwd), "env": dict(env)})
        finally:
            self._busy.release()

    def close(self) -> None:
        """Need it no more."""
        if self._connection:
            self._connection.close()

    def _is_first(self, words: Sequence[str]) -> bool:
        """Say whether no test of this run has typed the command, and note that one has."""
        name = "-".join(word for word in words[2 if words[:1] == ["--config"] else 0 :][:2] if word.isalpha())
        try:
            (self._folder / f"typed-{name or 'options'}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _connected(self) -> socket.socket:
        path = self._folder / NAME
        with (self._folder / f"{NAME}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (connection := _connection(path)) is None:
                path.unlink(missing_ok=True)
                others = {n: v for n, v in os.environ.items() if not n.startswith(("REELSIFT_", "PREFECT_", "MLFLOW_"))}
                run = subprocess.run(  # it leaves a process behind, which listens
                    [sys.executable, "-m", "tests.support.warm_commands", str(path)],
                    cwd=Path(__file__).parents[2],
                    env=others | QUIET,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    check=False,
                )
                if run.returncode or (connection := _connection(path)) is None:
                    raise OSError(f"No command can be started warm: {run.returncode}")
        self._connection = connection
        return connection


def _run(connection: socket.socket, request: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    message = json.dumps(request).encode()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        files = array.array("i", [out.fileno(), errors.fileno()])
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files.tobytes())]
        connection.sendmsg([len(message).to_bytes(8, "big")], rights)
        connection.sendall(message)
        code = int(_exactly(connection, 8))
        said = []
        for stream in (out, errors):
            stream.seek(0)
            said.append(stream.read().decode().replace("\r\n", "\n").replace("\r", "\n"))  # as text is read
    return subprocess.CompletedProcess([request["script"], *request["words"]], code, *said)


def _connection(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    with suppress(FileNotFoundError, ConnectionRefusedError):
        connection.connect(str(path))
        return connection
    connection.close()
    return None


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        if not (more := connection.recv(count - len(received))):
            raise ConnectionError("The process from which commands are forked has ended.")
        received += more
    return received


class _Aside(MetaPathFinder):
    """Prefect, which was imported before, and which reads its settings when an import asks for it."""

    def __init__(self) -> None:
        for name in LIBRARIES:
            import_module(name)
        self._modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == PREFECT}
        for name in self._modules:
            del sys.modules[name]

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Put the whole of it back when it is imported."""
        if fullname != PREFECT:
            return None
        sys.meta_path.remove(self)
        sys.modules.update(self._modules)
        context, logs = import_module("prefect.context"), import_module("prefect.logging.configuration")
        context.refresh_global_settings_context()
        logs.PROCESS_LOGGING_CONFIG.clear()  # else only levels would be set
        logs.setup_logging()
        return spec_from_loader(fullname, _Given(self._modules[fullname]))


class _Given(Loader):
    """A module that is there already."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    files = array.array("i")
    head, more, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(2 * files.itemsize))
    if not head:
        return None
    for _, _, content in more:
        files.frombytes(content)
    head += _exactly(connection, 8 - len(head))
    return json.loads(_exactly(connection, int.from_bytes(head, "big"))), list(files)


def _become(request: dict[str, Any], files: Sequence[int]) -> None:
    """Be the command: what a new process has of its own, this one gets."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for place, file in enumerate((nothing, *files)):
        os.dup2(file, place)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [request["script"], *request["words"]]
    sys.path[0] = str(Path(request["script"]).parent)
    # What was noted when the libraries were imported.
    tempfile.tempdir = None
    multiprocessing.process.ORIGINAL_DIR = request["cwd"]  # pyright: ignore[reportAttributeAccessIssue]
    import_module("numpy.random").seed()
    gc.enable()


def serve(path: Path) -> dict[str, Any] | None:
    """Fork commands until nobody is left who wants any; return, in such a fork, which command it is."""
    connections = selectors.DefaultSelector()
    asked: dict[int, socket.socket] = {}  # by the handle of the process that is the answer
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        if os.fork():
            os._exit(0)  # who has started this knows that it listens
        connections.register(listening, selectors.EVENT_READ)
        is_wanted = True
        while is_wanted:
            ready = connections.select(ALONE_S)
            for key, _ in ready:
                if key.fileobj is listening:
                    connections.register(listening.accept()[0], selectors.EVENT_READ)
                elif not isinstance(key.fileobj, socket.socket):
                    connections.unregister(key.fd)
                    _tell(asked.pop(key.fd), key.fd, key.data)
                elif received := _receive(key.fileobj):
                    if not (process := _forked(connections, *received)):
                        return received[0]
                    handle = os.pidfd_open(process)
                    asked[handle] = key.fileobj
                    connections.register(handle, selectors.EVENT_READ, process)
                else:
                    connections.unregister(key.fileobj)
                    key.fileobj.close()
            is_wanted = len(connections.get_map()) > 1  # where nothing was heard, who has started this has died
    path.unlink()
    return None


def _forked(connections: selectors.BaseSelector, request: dict[str, Any], files: Sequence[int]) -> int:
    if process := os.fork():
        for file in files:
            os.close(file)
        return process
    for key in list(connections.get_map().values()):
        if isinstance(key.fileobj, socket.socket):
            key.fileobj.close()
        else:
            os.close(key.fd)
    connections.close()
    _become(request, files)
    return 0


def _tell(who: socket.socket, handle: int, process: int) -> None:
    """Tell who has asked for a command how it ended."""
    _, status = os.waitpid(process, 0)
    os.close(handle)
    with suppress(OSError):  # who has asked may be gone
        who.sendall(b"%8d" % os.waitstatus_to_exitcode(status))


def main() -> None:
    """Import what commands import, then be one of them, again and again."""
    import runpy

    gc.disable()
    with tempfile.TemporaryDirectory() as home:
        os.environ["PREFECT_HOME"] = home  # Prefect makes the folder when it is imported
        aside = _Aside()
    del os.environ["PREFECT_HOME"]
    gc.collect()
    gc.freeze()
    request = serve(Path(sys.argv[1]))
    if request is None:
        os._exit(0)
    sys.meta_path.insert(0, aside)
    sys.modules.pop("tests.support.warm_commands", None)
    try:
        runpy.run_path(request["script"], run_name="__main__")
    except SystemExit as ended:
        _end(ended.code)
    except BaseException:  # noqa: BLE001 - as Python does with whatever ends it
        traceback.print_exc()
        _end(1)
    _end(0)


def _end(code: object) -> NoReturn:
    """End as Python does, but for taking the libraries apart: that would copy all pages that are shared."""
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
