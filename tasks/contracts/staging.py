"""The files of one answer, which appear together, the manifest last.

In: a folder and whoever fills a hidden one within it. Out: the files in the folder, those of an earlier answer gone.
Does not know what the files hold.

A run that is killed leaves the old answer whole, or the new one, or no manifest: what is beside it is then made again.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def staged(folder: Path, *, files: tuple[str, ...], manifest: str) -> Iterator[Path]:
    """Yield an empty folder; when the block ends well, what it holds takes the place of what was in `folder`.

    Args:
        folder: made where it is missing, and removed again where nothing came of it.
        files: names of all files and folders that an answer may have, the manifest's left out.
        manifest: the name of the one whose presence says that the others are whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".making-", suffix=".tmp", dir=folder) as stage:
            yield Path(stage)
            _publish(Path(stage), folder, files, manifest)
    finally:
        with suppress(OSError):  # it is not empty, as it should be
            folder.rmdir()


def _publish(stage: Path, folder: Path, files: tuple[str, ...], manifest: str) -> None:
    (folder / manifest).unlink(missing_ok=True)
    for name in files:
        _remove(folder / name)
        if (stage / name).exists():
            _move(stage / name, folder / name)
    _move(stage / manifest, folder / manifest)


def _move(made: Path, place: Path) -> None:
    """Have the disk hold a file before its name does; those of a folder can be made again."""
    if made.is_file():
        with made.open("rb") as file:
            os.fsync(file.fileno())
    made.rename(place)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
