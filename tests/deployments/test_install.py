"""`make install` runs nothing that is not held to a hash: neither uv, nor a package, nor what builds one."""

import re
import subprocess
import sys
from importlib.metadata import version
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


def test_a_builder_with_another_hash_is_not_run(tmp_path: Path) -> None:
    """Offline, as uv judges the hash before anything else: a package that builds itself, and a lock that lies."""
    package, home = tmp_path / "package", tmp_path / "home"
    package.mkdir()
    (package / "setup.py").write_text(
        "open('ran', 'w')\nfrom setuptools import setup\nsetup(name='made', version='1')\n"
    )
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"setuptools=={version('setuptools')} --hash=sha256:{'0' * 64}\n")
    uv = Path(sys.executable).with_name("uv")
    for arguments in ([f"--build-constraints={constraints}", "--require-build-hashes"], ["--require-build-hashes"]):
        run = subprocess.run(
            [uv, "pip", "install", "--no-cache", "--no-deps", "--target", home, *arguments, package],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode
        assert not (package / "ran").exists()
        assert not home.exists() or not any(home.iterdir())


def test_images_are_named_by_their_digest() -> None:
    services = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text(encoding="utf-8"))["services"]
    foreign = {service["image"] for service in services.values() if not service["image"].startswith("reelsift:")}
    assert len(foreign) == 3
    assert all(re.fullmatch(r"docker\.io/[a-z]+/[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image) for image in foreign)
