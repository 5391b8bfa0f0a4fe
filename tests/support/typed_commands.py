"""What the tests type at the installed command, read from their source: which commands, with which options.

Only functions that call one of `TYPING` count, as those run the installed command; a list of arguments in such a
function, or in its parameters, is taken for typed.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from reelsift.cli import app

TESTS = Path(__file__).parents[1]
# What runs the installed command, and the words that it adds by itself.
TYPING = {
    "reelsift": (),
    "command": (),
    "typed": (),
    "answer": ("--json",),
    "up": ("--prefect-port", "--mlflow-port", "--json"),
}

Command = tuple[str, ...]


def all_options() -> dict[Command, set[str]]:
    """Return every name of every option, by command; that of `--help` is left out, as it is tested of each."""
    return dict(_options(typer.main.get_command(app), ()))


def typed_options() -> dict[Command, set[str]]:
    """Return the options that tests type, by command."""
    known = all_options()
    found: dict[Command, set[str]] = defaultdict(set)
    for path in TESTS.rglob("*.py"):
        for words in _typed(ast.parse(path.read_text(encoding="utf-8"))):
            for command, options in _read(words, known):
                found[command] |= options
    return found


def _options(command: Any, name: Command) -> Iterator[tuple[Command, set[str]]]:
    own = (each for option in command.params for each in (*option.opts, *option.secondary_opts))
    yield name, {each for each in own if each.startswith("-")}
    for word, below in getattr(command, "commands", {}).items():
        yield from _options(below, (*name, word))


def _typed(tree: ast.Module) -> Iterator[list[str]]:
    """Yield the words of every list of arguments in functions that type."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and any(map(_is_typing, ast.walk(function))):
            for node in ast.walk(function):
                if isinstance(node, ast.List | ast.Tuple):
                    yield _words(node.elts)
                elif isinstance(node, ast.Call) and _is_typing(node):
                    words = _words(node.args)
                    yield [*(["up"] if _name(node) == "up" else []), *words, *TYPING[_name(node)]]


def _is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _name(node) in TYPING


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _words(nodes: Sequence[ast.expr]) -> list[str]:
    return [str(node.value) if isinstance(node, ast.Constant) else "" for node in nodes]


def _read(words: list[str], known: Mapping[Command, set[str]]) -> Iterator[tuple[Command, set[str]]]:
    """Yield what the words before the command are of, and the command with its own."""
    first = next((place for place, word in enumerate(words) if (word,) in known), None)
    before = words if first is None else words[:first]
    if first is None and not set(words) & known[()]:
        return
    yield (), {word for word in before if word in known[()]}
    if first is None:
        return
    name: Command = (words[first],)
    if len(words) > first + 1 and (*name, words[first + 1]) in known:
        name = (*name, words[first + 1])
    yield name, {word for word in words[first:] if word in known[name]}
