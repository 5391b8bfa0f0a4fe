"""`reelsift config`: what is in force, and where each value came from; `reelsift doctor`: whether it works."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from conf.environment import DATABASE_VARIABLES
from conf.layers import leaves, origin_of
from reelsift.console import note, print_error, print_json, print_table
from reelsift.options import AsJson, Commands
from reelsift.session import Session
from tasks.contracts.errors import MissingWeightsError, ReelsiftError, WeightsError
from tasks.contracts.progress import scaled
from tasks.contracts.text import without_secrets

if TYPE_CHECKING:
    from conf.settings import Settings

app = Commands("The settings in force.")


@app.callback()
def section() -> None:
    """Take `show` as a command of its own, though it is the only one."""


@app.command("show", example="reelsift config show --json")
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Print every setting, its value, and the file, variable or option that set it."""
    session: Session = context.obj
    rows = [
        (".".join(location), value, origin_of(location, session.layers))
        for location, value in leaves(session.settings.model_dump(mode="json"))
    ]
    if as_json:
        print_json({name: {"value": value, "origin": origin} for name, value, origin in rows})
        return
    print_table(
        "Settings in force",
        ("setting", "value", "from"),
        ((name, _shown(value), origin) for name, value, origin in rows),
    )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)


# What most reports of trouble turn on; every other package is held to its bounds as well.
KEY_PACKAGES = ("prefect", "mlflow", "tensorflow", "torch", "onnxruntime", "opencv-python-headless", "av", "yt-dlp")
NATIVE = ("cv2", "av", "onnxruntime", "pyarrow")  # that need libraries of the system, and are quick to import
INSTALL = "Install again: `make install` in a checkout, else the wheel by pip."
WEIGHTS_ADVICE = (
    "`reelsift weights fetch NAME` gets weights that are missing, `reelsift weights fetch all` all of them."
)
ROOMY_BYTES = 5 << 30
NEEDED_BYTES = 100 << 20  # below which a command fails sooner or later

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True)
class Check:
    """What was looked at, and what to do about it."""

    name: str
    state: State  # missing: not here, and not needed by every command
    found: str
    advice: str | None = None


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Say what is installed, which devices, weights and servers there are, and what is wrong; 1 where something is."""
    checks = list(_checks(context.obj))
    broken = [check for check in checks if check.state == "broken"]
    if as_json:
        print_json({"ok": not broken, "checks": [asdict(check) for check in checks]})
    else:
        print_table(
            "What is here", ("what", "state", "found"), ((check.name, check.state, check.found) for check in checks)
        )
        for advice in dict.fromkeys(check.advice for check in checks if check.advice and check.state == "missing"):
            note(advice)
        for check in broken:
            print_error(f"{check.name}: {check.found}. {check.advice or ''}".rstrip())
    if broken:
        raise typer.Exit(1)


def _checks(session: Session) -> Iterator[Check]:
    yield from _versions()
    yield from _loaded("processors", _devices)
    yield _folder("temporary folder", Path(tempfile.gettempdir()), "name another one in TMPDIR")
    try:
        settings = session.settings
    except ReelsiftError as error:
        yield Check("settings", "broken", str(error), "Correct them; `reelsift config show` then shows all.")
        return
    yield _folder("home", settings.paths.root, "name another one in REELSIFT_HOME")
    yield from _loaded("weights", lambda: _weights(settings))
    yield from _loaded("feature spaces", lambda: _spaces(settings))
    yield from _loaded("detectors", lambda: _detectors(settings))
    yield from _loaded("servers", lambda: _servers(session))


def _loaded(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Look at the rest even where a package that this needs cannot be loaded."""
    try:
        yield from look()
    except ImportError as error:
        yield Check(name, "broken", f"cannot be looked at: {error}", INSTALL)


def _versions() -> Iterator[Check]:
    """Yield the versions of this project, Python and the packages, each held to what is required."""
    from packaging.requirements import Requirement

    from tasks.contracts.model import code_revision

    yield Check("reelsift", "ok", code_revision())
    yield Check("Python", "ok", f"{platform.python_version()}, {sys.executable}, {platform.platform(terse=True)}")
    needed = [Requirement(each) for each in requires("reelsift") or ()]
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = 0
    for each in needed:
        try:
            has = version(each.name)
            fits = each.specifier.contains(has, prereleases=True)
        except PackageNotFoundError:
            has, fits = "not installed", False
        wrong += not fits
        if not fits:
            yield Check(each.name, "broken", f"{has}, and {each.specifier or 'any version'} is needed", INSTALL)
        elif each.name in KEY_PACKAGES:
            yield Check(each.name, "ok", has)
    if not wrong:
        yield Check("packages", "ok", f"all {len(needed)} are as required")
    for name in NATIVE:
        try:
            import_module(name)
        except (ImportError, OSError) as error:
            yield Check(name, "broken", f"cannot be imported: {error}", INSTALL)


def _devices() -> Iterator[Check]:
    """Yield processors and GPUs; torch takes seconds to import, so it is asked only where NVIDIA's driver is."""
    import psutil

    memory = scaled(psutil.virtual_memory().total, "B")
    yield Check("processors", "ok", f"{os.cpu_count()} ({platform.machine()}), {memory} of memory")
    from tasks.detection.detector import has_driver

    if not has_driver():
        yield Check("GPU", "missing", "no NVIDIA driver; everything runs on the processors")
        return
    import torch

    names = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    if torch.cuda.is_available() and names:
        yield Check("GPU", "ok", ", ".join(names))
    else:
        yield Check(
            "GPU", "missing", "NVIDIA's driver is here, but PyTorch finds no GPU", "See what `nvidia-smi` says."
        )


def _folder(name: str, folder: Path, otherwise: str) -> Check:
    """Try to write where a folder is, or will be, and look at the room there; nothing stays."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as trial:
            trial.write(b"reelsift")
    except OSError as error:
        advice = f"Make it writable, or {otherwise}."
        return Check(name, "broken", f"{folder}: {place} cannot be written to ({error.strerror})", advice)
    free = shutil.disk_usage(place).free
    found = f"{folder}, {scaled(free, 'B')} free"
    if free < NEEDED_BYTES:
        return Check(name, "broken", found, f"Free some space, or {otherwise}.")
    if free < ROOMY_BYTES:
        little = scaled(ROOMY_BYTES, "B")
        return Check(
            name, "missing", found, f"Less than {little} are free in {place}: `reelsift prune` shows what can go."
        )
    return Check(name, "ok", found)


def _weights(settings: "Settings") -> Iterator[Check]:
    """Yield each file of weights; only one that is damaged is wrong, as no command needs all."""
    from flows.dataset_requests import weights_of
    from tasks.weights.store import find_weights, list_weights

    store = weights_of(settings)
    if store.given and not store.given.is_dir():
        advice = "Correct REELSIFT_WEIGHTS, or unset it."
        yield Check("weights", "broken", f"{store.given} is no folder", advice)
    for each in list_weights(store):
        name = f"weights {each.name}"
        if each.state == "missing":
            yield Check(name, "missing", f"not here ({each.used_for})", WEIGHTS_ADVICE)
        elif each.state == "damaged":
            try:
                find_weights(each.name, store)
            except WeightsError as error:
                yield Check(name, "broken", str(error).rstrip("."))
        else:
            odd = ", not the published file" if each.is_official is False else ""
            yield Check(name, "ok", f"{each.path}{odd}")


def _spaces(settings: "Settings") -> Iterator[Check]:
    """Yield each feature space: whether its features can be computed here, or what that takes; no command needs all."""
    from flows.dataset_requests import weights_of
    from tasks.features.spaces import how_to_have, missing_for, space_names

    store = weights_of(settings)
    for name in space_names(store):
        missing = missing_for(name, store)
        if not missing:
            yield Check(f"feature space {name}", "ok", "available")
            continue
        found = f"not available: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not here"
        yield Check(f"feature space {name}", "missing", found, f"{name}: {how_to_have(name, store)}")


def _detectors(settings: "Settings") -> Iterator[Check]:
    """Yield what `--detector auto` means here, and each detector of one's own."""
    from flows.dataset_requests import weights_of
    from tasks.detection.config import SHIPPED
    from tasks.detection.detector import choose_detector
    from tasks.weights.store import configured_weights

    store = weights_of(settings)
    choice = choose_detector(store)
    state = "ok" if store.path(SHIPPED[choice.detector].weights) else "missing"
    yield Check("detector auto", state, f"{choice.why}{f'. {choice.better}' if choice.better else ''}".rstrip("."))
    for name, own in store.detectors.items():
        try:
            found = configured_weights(f"[detectors.{name}]", own.weights, store)
        except MissingWeightsError as error:
            yield Check(f"detector {name}", "missing", f"not available: {own.weights} is not here", str(error))
        except ReelsiftError as error:
            yield Check(f"detector {name}", "broken", str(error).rstrip("."))
        else:
            yield Check(f"detector {name}", "ok", f"{found.path}")


def _servers(session: Session) -> Iterator[Check]:
    """Yield the stack of the home, and the servers and stores that are named elsewhere; each is asked."""
    from conf.prefect_server import check_database, check_named_server
    from conf.stack_state import read_state

    if any(os.environ.get(name) for name in DATABASE_VARIABLES):
        yield _tried("Prefect's database", lambda: check_database() or "answers")
    if session.has_prefect_server:
        named = without_secrets(os.environ["PREFECT_API_URL"])
        yield _tried("Prefect server", lambda: check_named_server() or f"{named} answers")
    yield _tried("MLflow", lambda: _registry(session))
    if storage := session.settings.storage:
        from tasks.storage.object_store import open_store

        yield _tried("storage", lambda: open_store(storage) and f"{storage} answers")
    try:
        state = read_state(session.settings.paths)
        if state is None or not state.parts:
            yield Check("stack", "missing", "none runs in this home", "`reelsift up` starts one; no command needs it.")
            return
        from reelsift.stack import part_states

        for part in part_states(session, state):
            where = f"{part.state}, {part.address or f'process {part.pid}'}"
            is_ready = part.state == "ready"
            advice = None if is_ready else f"`reelsift up` starts it again; `reelsift logs {part.name}` shows its log."
            yield Check(f"stack {part.name}", "ok" if is_ready else "broken", where, advice)
    except ReelsiftError as error:
        yield Check("stack", "broken", str(error).rstrip("."))


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", look())
    except ReelsiftError as error:
        return Check(name, "broken", str(error).rstrip("."))


def _registry(session: Session) -> str:
    """Say where MLflow keeps models, and how many versions it has: the server is asked, the database read."""
    from tasks.tracking.registry import registered_versions

    store = session.store
    if store.sqlite_path and not store.sqlite_path.exists():
        return f"{store.sqlite_path}, made by the first training"
    count = len(registered_versions(store))
    return f"{store.sqlite_path or without_secrets(store.uri)}, {count:,} {'version' if count == 1 else 'versions'}"
