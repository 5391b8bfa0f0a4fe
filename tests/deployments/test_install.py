"""`make install` runs nothing that is not held to a hash: neither uv, nor a package, nor what builds one."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HASHED = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*])?==[^\s;]+.*?(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
BUILDERS = ("setuptools", "hatchling", "editables")


def planned(target: str) -> list[str]:
    """Return the commands that make would run for a target in a fresh checkout."""
    made = subprocess.run(
        ["make", "--dry-run", "--always-make", target, f"PYTHON={sys.executable}", "VENV=/nowhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("name", ["bootstrap.lock", "requirements.lock"])
def test_every_package_of_a_lock_has_a_hash(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    found = list(HASHED.finditer(text))
    assert len(found) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
    assert all("--hash=sha256:" in each[0] for each in found)
    assert "://" not in text


def test_every_install_is_held_to_hashes() -> None:
    installs = [line for line in planned("install") if re.search(r"pip install", line)]
    assert len(installs) == 3
    bootstrap, packages, project = installs
    assert re.search(r"--require-hashes --only-binary :all: +-r bootstrap\.lock", bootstrap)
    assert re.search(r"--require-hashes -r requirements\.lock", packages)
    assert re.search(r"--build-constraints requirements\.lock --require-build-hashes", packages)
    assert "--no-deps --no-build-isolation" in project


def test_what_builds_packages_is_in_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert all(re.search(rf"^{name}==", lock, re.MULTILINE) for name in BUILDERS)


BACKEND = """
import pathlib, zipfile
def build_wheel(folder, *_):
    pathlib.Path(RAN).touch()
    with zipfile.ZipFile(pathlib.Path(folder) / "made-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("made-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: made\\nVersion: 1\\n")
        wheel.writestr("made-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("made-1.dist-info/RECORD", "")
    return "made-1-py3-none-any.whl"
"""


def write_builder(folder: Path, ran: Path) -> Path:
    """Write a wheel with a build backend that leaves a trace where it runs."""
    wheel = folder / "builder-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as written:
        written.writestr("builder.py", BACKEND.replace("RAN", repr(str(ran))))
        written.writestr("builder-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: builder\nVersion: 1\n")
        written.writestr("builder-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        written.writestr("builder-1.dist-info/RECORD", "")
    return wheel


@pytest.mark.parametrize("is_right", [True, False], ids=["right-hash", "other-hash"])
def test_a_builder_runs_only_with_its_hash(tmp_path: Path, is_right: bool) -> None:
    """With the options of the Makefile, and without any index."""
    package, ran = tmp_path / "package", tmp_path / "ran"
    package.mkdir()
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["builder==1"]\nbuild-backend = "builder"\n'
        '[project]\nname = "made"\nversion = "1"\n'
    )
    digest = hashlib.sha256(write_builder(tmp_path, ran).read_bytes()).hexdigest() if is_right else "0" * 64
    write_builder(tmp_path, ran)
    lock = tmp_path / "lock.txt"
    lock.write_text(f"builder==1 --hash=sha256:{digest}\n")
    uv, place = Path(sys.executable).with_name("uv"), ["--target", str(tmp_path / "home")]
    options = ["--no-index", "--find-links", str(tmp_path), "--no-cache", "--build-constraints", str(lock)]
    command = [str(uv), "pip", "install", *place, *options, "--require-build-hashes", str(package)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode == 0) is is_right, run.stderr
    assert ran.exists() is is_right


def test_images_are_named_by_their_digest() -> None:
    services = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text(encoding="utf-8"))["services"]
    foreign = {service["image"] for service in services.values() if not service["image"].startswith("reelsift:")}
    assert len(foreign) == 3
    assert all(re.fullmatch(r"docker\.io/[a-z]+/[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image) for image in foreign)
