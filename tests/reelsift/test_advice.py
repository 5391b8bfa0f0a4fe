"""Every command that a message, the help or the README advises exists as it is written there, with its options."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reelsift.test_cli import reelsift
from tests.support.typed_commands import all_options

ROOT = Path(__file__).parents[2]
TOPS = ("conf", "deployments", "flows", "reelsift", "tasks")
SOURCES = [path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))]
PAGES = [ROOT / "README.md", *sorted((ROOT / "deployments").glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
ADVICE = re.compile(r"`(reelsift [^`\n]+)`")
TYPED = re.compile(r"^(?:\$ )?(reelsift (?!is\b)[^#\n]+)", re.MULTILINE)
FLAGS_BEFORE = {"--debug", "--version", "--install-completion", "--show-completion"}
BEFORE = {"--config", "--home", *FLAGS_BEFORE}
KNOWN = all_options()


def texts(path: Path) -> Iterator[str]:
    """Yield the text constants of a module; what is filled in at run time becomes an X."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "X" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def advised() -> list[tuple[str, str]]:
    """List every command in backticks in the code, and every one in a page."""
    found = {(found, path.name) for path in SOURCES for text in texts(path) for found in ADVICE.findall(text)}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL))
        found |= {(each, page.name) for each in (*ADVICE.findall(text), *TYPED.findall(blocks))}
    return sorted(found)


def problem(command: str) -> str | None:
    """Return what is wrong with a command as it is written, if anything is."""
    words = [word for word in shlex.split(command.replace("…", "")) if word not in {"|", "...", "X"}][1:]
    while words and words[0].startswith("-"):
        if words[0] not in BEFORE:
            return f"{words[0]} stands before no command"
        words = words[1:] if words[0] in FLAGS_BEFORE else words[2:]
    if not words:
        return None
    name = tuple(words[:2]) if tuple(words[:2]) in KNOWN else (words[0],)
    if name not in KNOWN:
        return f"there is no command {words[0]}"
    options = {
        word.partition("=")[0].strip("[],;.") for word in words[len(name) :] if re.match(r"\[?-{1,2}[a-z]", word)
    }
    missing = options - KNOWN[name] - {"--help", "-h"}
    return f"{' '.join(name)} has no {', '.join(sorted(missing))}" if missing else None


def test_every_command_that_is_advised_exists() -> None:
    commands = advised()
    assert len(commands) > 60
    assert not {f"{where}: {command}": wrong for command, where in commands if (wrong := problem(command))}


def test_a_command_that_is_not_there_would_be_found() -> None:
    assert problem("reelsift modells list") == "there is no command modells"
    assert problem("reelsift label --pool a.mp4") == "label has no --pool"


@pytest.mark.parametrize(
    ("wanted", "helps"),
    [
        pytest.param("Cookng", "Cooking", id="typo"),
        pytest.param("cooki", "Cooking", id="beginning"),
        pytest.param("Food & Drink", "Cooking", id="vertical"),
        pytest.param("autos and vehicles", "Vehicle", id="vertical-in-words"),
    ],
)
def test_the_advice_about_a_label_leads_to_one(wanted: str, helps: str, tmp_path: Path, synthetic_mirror: Path) -> None:
    home = tmp_path / "home"
    build = ("dataset", "build", "--mirror", synthetic_mirror, "--limit", 1)
    run = reelsift(*build, "--label", wanted, home=home)
    assert (run.returncode, run.stdout) == (1, "")
    assert "Soft drink" not in run.stderr
    (advice,) = ADVICE.findall(run.stderr)
    followed = reelsift(*shlex.split(advice)[1:], home=home)
    assert followed.returncode == 0, followed.stderr
    assert helps in followed.stdout


def test_a_name_that_is_no_file_of_settings_is_told_which_there_are(tmp_path: Path) -> None:
    run = reelsift("--config", "nothere", "config", "show", home=tmp_path / "home")
    assert run.returncode == 1
    offered = re.findall(r"\w+", run.stderr.rpartition("name a TOML file, or")[2].replace(" or ", " "))
    assert offered == ["smoke", "full"]
    for name in offered:
        assert reelsift("--config", name, "config", "show", home=tmp_path / "home").returncode == 0


def test_a_version_that_is_not_there_is_made_by_the_command_that_is_advised(
    tmp_path: Path, synthetic_mirror: Path
) -> None:
    home = tmp_path / "home"
    missing = reelsift("dataset", "show", "latest", home=home)
    (advice,) = ADVICE.findall(missing.stderr)
    words = shlex.split(advice.replace("NAME", "Cooking"))[1:]
    refused = reelsift(*words, "--mirror", synthetic_mirror, "--limit", 1, "--match", "none", home=home)
    assert refused.returncode == 2  # the command is understood as far as that; building costs a server
    assert "match" in refused.stderr
