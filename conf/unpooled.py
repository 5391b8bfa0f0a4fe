"""Prefect's SQLite with a connection a session, and with transactions that take the lock for writing as they begin.

A statement that failed ("database is locked") is freed when Python gets round to it, by the thread of the event loop.
If its connection, back from the pool, waits for the lock in another thread by then, the freeing waits for that: for
all of the busy timeout (60 s), and with it the loop that should have released the lock. A connection that serves one
session alone is waited for by nobody.

Prefect begins most transactions as readers. One that has read may write only if nobody else has written meanwhile; else
SQLite refuses at once, without the busy timeout. Automations count events so, and an event that is refused four times
is lost to them. A transaction that asks for the lock first waits for its turn.
"""

from typing import Any

from sqlalchemy import URL, Engine, event
from sqlalchemy.engine import CreateEnginePlugin
from sqlalchemy.pool import NullPool

AS_A_READER, AS_A_WRITER = "BEGIN DEFERRED", "BEGIN IMMEDIATE"


class Unpooled(CreateEnginePlugin):
    """Opens a connection for each session, as SQLAlchemy itself did for files of SQLite before 2.0.38."""

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        kwargs["poolclass"] = NullPool

    def update_url(self, url: URL) -> URL:
        """Take the plugin's own name out of the URL."""
        return url.difference_update_query(["plugin"])

    def engine_created(self, engine: Engine) -> None:
        """Have Prefect's transactions take the lock as they begin; what only reads is in none, in Prefect."""
        event.listen(engine, "before_cursor_execute", _begin_as_a_writer, retval=True)


def _begin_as_a_writer(
    _connection: object, _cursor: object, statement: str, parameters: object, _context: object, _many: object
) -> tuple[str, object]:
    return AS_A_WRITER if statement == AS_A_READER else statement, parameters
