"""The code that a logged model carries, so that it loads where reelsift is not installed.

The script `pyfunc_model.py` and every module of this project that it imports are copied into a package whose name holds
the digest of its content: it hides no module of the process that loads the model, and two releases go side by side.
"""

import ast
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "tasks"  # whose modules are carried
SCRIPT = Path(__file__).with_name("pyfunc_model.py")
IMPORT = re.compile(rf"^(\s*)(from|import) {PACKAGE}\b", re.MULTILINE)
DIGEST_LENGTH = 12


@dataclass(frozen=True)
class ModelCode:
    """The code of a model on the disk."""

    script: Path  # which MLflow runs to load the model
    package: Path  # the folder with what the script imports, to be carried beside it


def write_model_code(folder: Path) -> ModelCode:
    """Write the script, and the package that it imports, into an existing folder."""
    sources = {path.relative_to(ROOT / PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in _closure()}
    script = SCRIPT.read_text(encoding="utf-8")
    digest = hashlib.sha256("\0".join([script, *(f"{name}\0{sources[name]}" for name in sorted(sources))]).encode())
    name = f"reelsift_model_{digest.hexdigest()[:DIGEST_LENGTH]}"
    for place, text in sources.items():
        path = folder / name / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_renamed(text, name), encoding="utf-8")
    for inner in (path for path in (folder / name).rglob("*") if path.is_dir()):
        (inner / "__init__.py").touch()
    (folder / name / "__init__.py").touch()
    written = folder / SCRIPT.name
    written.write_text(_renamed(script, name), encoding="utf-8")
    return ModelCode(written, folder / name)


def _renamed(source: str, package: str) -> str:
    return IMPORT.sub(rf"\1\2 {package}", source)


def _closure() -> set[Path]:
    """Return the modules of this project that the script imports, and what those import in turn."""
    found: set[Path] = set()
    waiting = [SCRIPT]
    while waiting:
        for path in _imported(waiting.pop()) - found:
            found.add(path)
            waiting.append(path)
    return found


def _imported(path: Path) -> set[Path]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    modules = {str(node.module) for node in nodes} | {
        f"{node.module}.{alias.name}" for node in nodes for alias in node.names
    }
    files = (
        ROOT.joinpath(*module.split(".")).with_suffix(".py") for module in modules if module.startswith(f"{PACKAGE}.")
    )
    return {file for file in files if file.is_file()}
