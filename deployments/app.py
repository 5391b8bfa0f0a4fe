"""Every command: what `flows.cli` has, and those of the local stack.

In: nothing. Out: the application. It stands here, as flows know nothing of where they run.
"""

from deployments import commands
from flows.cli import app, main

STACK = "The local stack"

app.command("up", rich_help_panel=STACK)(commands.up)
app.command("status", rich_help_panel=STACK)(commands.status)
app.command("logs", rich_help_panel=STACK)(commands.logs)
app.command("down", rich_help_panel=STACK)(commands.down)

__all__ = ["app", "main"]
