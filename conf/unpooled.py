"""Prefect's SQLite without a pool of connections, for with one its server can stand still for minutes.

A statement that failed ("database is locked") is freed when Python gets round to it, by the thread of the event loop.
If its connection, back from the pool, waits for the lock in another thread by then, the freeing waits for that: for
all of the busy timeout (60 s), and with it the loop that should have released the lock. A connection that serves one
session alone is waited for by nobody.

In: nothing. Out: a plugin of SQLAlchemy's, which a URL names: `sqlite+aiosqlite:///FILE?plugin=reelsift-unpooled`.
"""

from typing import Any

from sqlalchemy import URL
from sqlalchemy.engine import CreateEnginePlugin
from sqlalchemy.pool import NullPool


class Unpooled(CreateEnginePlugin):
    """Opens a connection for each session, as SQLAlchemy itself did for files of SQLite before 2.0.38."""

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        kwargs["poolclass"] = NullPool

    def update_url(self, url: URL) -> URL:
        """Take the plugin's own name out of the URL."""
        return url.difference_update_query(["plugin"])
