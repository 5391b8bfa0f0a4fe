"""What the command line prints: results on stdout, everything else on stderr.

In: values and tables. Out: text for people, or exactly one JSON object for programs. Does not compute anything.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks.contracts.text import JOINERS, inert, shown, without_secrets

OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object, and nothing else, on stdout; what a terminal would obey is escaped, and stays the same."""
    text = without_secrets(json.dumps(value, ensure_ascii=False, default=str))
    sys.stdout.write((text if text.isprintable() else "".join(map(_escaped, text))) + "\n")


def say(text: str) -> None:
    """Print a line of the result; whatever it holds is text: no markup, no emoji code, no order to the terminal."""
    OUT.print(_text(text))


def note(text: str) -> None:
    """Print a line beside the result."""
    ERR.print(_text(text), style="dim")


def print_error(text: str) -> None:
    """Print why the command failed, in one line."""
    ERR.print(Text.assemble(("error:", "bold red"), " ", shown(text)))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below their columns; columns of numbers are aligned to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [bool(cells) and all(_is_number(row[index]) for row in cells) for index in range(len(columns))]
    table = Table(title=_text(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(_text(name), justify="right" if right else "left", header_style="dim")
    for row in cells:
        table.add_row(*(_text(shown(cell)) for cell in row))
    Console(highlight=False, width=None if OUT.is_terminal else 160).print(table)


def _text(text: str) -> Text:
    return Text(inert(without_secrets(text)))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _escaped(character: str) -> str:
    """Write what cannot be seen as JSON's own escape: JSON leaves the control characters above ASCII as they are."""
    if character.isprintable() or character in JOINERS:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place]:02x}{units[place + 1]:02x}" for place in range(0, len(units), 2))


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "").lstrip("+-").isdecimal()
