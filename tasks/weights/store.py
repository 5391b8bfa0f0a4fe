"""The folder of weights: what is there, its digests, and the receipts of what was fetched."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from tasks.contracts.errors import ConfigError, MissingWeightsError, WeightsError, did_you_mean
from tasks.contracts.files import file_digest, format_bytes, write_text
from tasks.contracts.media import WeightsRecord
from tasks.contracts.model import FrozenModel, Sha256
from tasks.weights.config import Backbone, OnnxDetector, WeightsEntry

MEMORY_NAME = ".digests.json"


def known_digest(path: Path, folder: Path) -> str:
    """Return a file's sha256; 290 MB take .2 s, so it is kept beside the size, times and inode that it is of."""
    stat = path.stat()
    key = f"{path.absolute()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"
    remembered = _remembered(folder / MEMORY_NAME)
    if key not in remembered:
        remembered = {
            other: digest for other, digest in remembered.items() if not other.startswith(f"{path.absolute()}|")
        }
        remembered[key] = file_digest(path)
        with suppress(OSError):  # a folder that cannot be written to remembers nothing
            write_text(folder / MEMORY_NAME, json.dumps(remembered, indent=2) + "\n")
    return remembered[key]


def _remembered(memory: Path) -> dict[str, str]:
    """Return what is remembered; a memory that is damaged is none."""
    try:
        found = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


class Receipt(FrozenModel):
    """Where a file came from and what it was."""

    url: str
    sha256: Sha256  # of the file itself
    archive_sha256: Sha256 | None = None  # of the archive that it was in


def receipt_path(path: Path) -> Path:
    """Return where the receipt of a file lies."""
    return path.with_name(f"{path.name}.fetched.json")


def read_receipt(path: Path) -> Receipt | None:
    """Return the receipt of a file; None where a person put it there.

    Raises:
        WeightsError: the receipt is damaged.
    """
    try:
        return Receipt.model_validate_json(receipt_path(path).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise WeightsError(f"{receipt_path(path)} cannot be read: delete it and the file beside it.") from error


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Note what a file is."""
    write_text(receipt_path(path), receipt.model_dump_json(indent=2) + "\n")


class WeightsStore(FrozenModel):
    """Two folders and a table."""

    folder: Path = Field(description="where files are fetched to")
    given: Path | None = Field(default=None, description="a person's own folder, which goes first")
    table: dict[str, WeightsEntry]
    backbones: dict[str, Backbone] = Field(default={}, description="feature spaces of one's own, made of such files")
    detectors: dict[str, OnnxDetector] = Field(default={}, description="detectors of one's own, made of such files")

    def entry(self, name: str) -> WeightsEntry:
        """Return what is known of a file.

        Raises:
            WeightsError: the table has no such name.
        """
        if name not in self.table:
            raise WeightsError(
                f"No weights {name!r}.{did_you_mean(name, [*self.table, *self.groups])} There are "
                f"{', '.join(self.table)}: `reelsift weights list`."
            )
        return self.table[name]

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The files of each group, by the group's name."""
        found: dict[str, tuple[str, ...]] = {}
        for name, entry in self.table.items():
            if entry.group:
                found[entry.group] = (*found.get(entry.group, ()), name)
        return found

    def members(self, name: str) -> tuple[str, ...]:
        """Return the files that a name means: a file's own, a group's, or `all`; each once.

        Raises:
            WeightsError: the table has no such name.
        """
        if name == "all":
            return tuple(self.table)
        if name in self.table:
            return (name,)
        if name not in self.groups:
            known = [*self.groups, *self.table]
            there = f"There are all, {', '.join(known)}: `reelsift weights list`."
            raise WeightsError(f"No weights {name!r}.{did_you_mean(name, known)} {there}")
        return self.groups[name]

    def path(self, name: str) -> Path | None:
        """Return where a file lies, the given folder going first; None where it is not here."""
        file_name = self.entry(name).file_name
        places = (folder / file_name for folder in (self.given, self.folder) if folder)
        return next((path for path in places if path.is_file()), None)


@dataclass(frozen=True)
class Weights:
    """A file of weights that is here."""

    path: Path
    record: WeightsRecord


def find_weights(name: str, store: WeightsStore) -> Weights:
    """Return a file of weights.

    Raises:
        MissingWeightsError: it is not here.
        WeightsError: it is not the file that was fetched, or the table has no such name.
    """
    entry, path = store.entry(name), store.path(name)
    if path is None:
        size = f"{format_bytes(entry.size_bytes)} " if entry.size_bytes else ""
        how = f"Fetch it with `reelsift weights fetch {name}` ({size}from {entry.urls[0]}), or " if entry.urls else ""
        advice = f"{how}{by_hand(entry, store)}"
        raise MissingWeightsError(f"No weights {name}: {entry.file_name} is not here. {advice[0].upper()}{advice[1:]}")
    digest = known_digest(path, store.folder)
    receipt = read_receipt(path) if path.parent == store.folder else None
    if receipt and receipt.sha256 != digest:
        raise WeightsError(
            f"The weights {path} have sha256 {digest}, but {receipt.sha256} when they were fetched: the file has "
            f"changed. Delete it, and `reelsift weights fetch {name}`."
        )
    return Weights(path, WeightsRecord(name=name, file_name=path.name, sha256=digest))


def configured_weights(section: str, name: str, store: WeightsStore) -> Weights:
    """Return the file of weights that a section of the settings names, held to the digest that the table has.

    Raises:
        ConfigError: the table has no such entry.
        MissingWeightsError: the file is not here.
        WeightsError: it is not the one whose digest the table has.
    """
    if name not in store.table:
        try:
            store.entry(name)
        except WeightsError as error:
            raise ConfigError(
                f"{section} weights: {error} An entry of your own goes into [weight_files.{name}]."
            ) from error
    found, entry = find_weights(name, store), store.entry(name)
    if not entry.archive_member and not entry.is_it(found.record.sha256):
        raise WeightsError(
            f"The weights {found.path} have sha256 {found.record.sha256}, and {name} should have {entry.sha256}: put "
            f"the right file there, or correct `sha256` in [weight_files.{name}]."
        )
    return found


def by_hand(entry: WeightsEntry, store: WeightsStore) -> str:
    """Return how a person without a connection may have a file here, for a message."""
    source = f"{entry.archive_member} out of its archive" if entry.archive_member else "it"
    folder = f"into {store.folder}, or into a folder that REELSIFT_WEIGHTS names"
    if store.given:
        is_folder = "" if store.given.is_dir() else ", which is no folder"
        folder = f"into {store.folder} or {store.given} (as REELSIFT_WEIGHTS names it{is_folder})"
    return f"put {source} there by hand, as {entry.file_name}, {folder}."


def missing_weights(names: Iterable[str], store: WeightsStore) -> list[str]:
    """Return those of the names whose files are not here.

    Raises:
        WeightsError: the table has no such name.
    """
    return [name for name in names if store.path(name) is None]


class WeightsState(FrozenModel):
    """A file of weights."""

    name: str
    state: Literal["given", "here", "missing", "damaged"]
    file_name: str
    path: Path | None
    size_bytes: int | None
    sha256: str | None
    is_official: bool | None  # whether it is the very file of the table; None where the table has no digest
    used_for: str
    licence: str
    url: str | None  # None: it is put there by hand
    group: str | None


def list_weights(store: WeightsStore) -> list[WeightsState]:
    """Return the state of every file in the table, in its order."""
    return [_state(name, store) for name in store.table]


def _state(name: str, store: WeightsStore) -> WeightsState:
    entry, path = store.entry(name), store.path(name)
    state: Literal["given", "here", "missing", "damaged"] = "missing"
    digest = None
    if path:
        state = "given" if path.parent == store.given else "here"
        try:
            digest = find_weights(name, store).record.sha256
        except WeightsError:
            state = "damaged"
    is_known = entry.sha256 is not None and not entry.archive_member
    return WeightsState(
        name=name,
        state=state,
        file_name=entry.file_name,
        path=path,
        size_bytes=path.stat().st_size if path else entry.size_bytes,
        sha256=digest,
        is_official=entry.is_it(digest) if digest and is_known else None,
        used_for=entry.used_for,
        licence=entry.licence,
        url=next(iter(entry.urls), None),
        group=entry.group,
    )
