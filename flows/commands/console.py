"""What the command line prints: results on stdout, everything else on stderr.

In: values and tables. Out: text for people, or exactly one JSON object for programs. Does not compute anything.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

OUT = Console(highlight=False, soft_wrap=True)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object, and nothing else, on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def say(text: str) -> None:
    """Print a line of the result; square brackets in it are text, not markup."""
    OUT.print(escape(text))


def note(text: str) -> None:
    """Print a line beside the result."""
    ERR.print(escape(text), style="dim")


def print_error(text: str) -> None:
    """Print why the command failed, in one line."""
    ERR.print(f"[bold red]error:[/] {escape(' '.join(text.split()))}")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below their columns; columns of numbers are aligned to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [bool(cells) and all(_is_number(row[index]) for row in cells) for index in range(len(columns))]
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(escape(name), justify="right" if right else "left", header_style="dim")
    for row in cells:
        table.add_row(*map(escape, row))
    Console(highlight=False, width=None if OUT.is_terminal else 160).print(table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(",", "").replace(".", "").lstrip("+-").isdecimal()
