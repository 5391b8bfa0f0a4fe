"""`reelsift config`: what is in force, and where each value came from."""

from typing import Annotated

import typer

from conf.layers import leaves, origin_of
from reelsift.console import print_json, print_table
from reelsift.session import Session

app = typer.Typer(help="The settings in force.", no_args_is_help=True)


@app.callback()
def section() -> None:
    """Take `show` as a command of its own, though it is the only one."""


@app.command("show")
def show(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False
) -> None:
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
