"""Prefect's database as a home has it: a statement that failed holds nobody up."""

import asyncio
import gc
import os
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from conf.environment import DATABASE_VARIABLES, apply_environment, home_variables
from conf.home import Home

BUSY_S = 3.0  # what a connection waits for the lock
WRITE = text("INSERT INTO books VALUES (1)")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home, and an environment that says nothing of Prefect."""
    for name in ("PREFECT_HOME", "PREFECT_LOCAL_STORAGE_PATH", *DATABASE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    home = Home(tmp_path / "home")
    home.prefect.mkdir(parents=True)
    return home


def test_freeing_a_statement_that_failed_does_not_wait_for_the_lock(home: Home) -> None:
    url = home_variables(home, quiet=True)[DATABASE_VARIABLES[0]]
    assert asyncio.run(_freed_s(create_async_engine(url))) < BUSY_S / 2
    assert (home.prefect / "prefect.db").is_file()


async def _freed_s(engine: AsyncEngine) -> float:
    """Let a write fail, another wait, and return for how long forgetting the first one stops the event loop."""
    gc.collect()
    gc.freeze()  # what other tests have left: to look through that takes seconds on a busy machine
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE books (page INTEGER)"))
    async with engine.begin() as holder:
        await holder.execute(WRITE)
        failed = await _failed_write(engine)

        async def wait_for_the_lock() -> None:
            async with engine.begin() as connection:
                await connection.execute(text(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}"))
                await connection.execute(WRITE)

        waiting = asyncio.create_task(wait_for_the_lock())
        await asyncio.sleep(BUSY_S / 6)
        began_s = time.monotonic()
        del failed
        gc.collect()  # an error and its frames hold one another
        freed_s = time.monotonic() - began_s
    await asyncio.gather(waiting, return_exceptions=True)
    await engine.dispose()
    return freed_s


async def _failed_write(engine: AsyncEngine) -> OperationalError:
    async with engine.connect() as connection:
        await connection.execute(text("PRAGMA busy_timeout = 0"))
        with pytest.raises(OperationalError, match="database is locked") as failed:
            await connection.execute(WRITE)
    return failed.value


@pytest.mark.parametrize("name", DATABASE_VARIABLES)
def test_a_database_of_ones_own_is_respected(home: Home, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "postgresql+asyncpg://somewhere/prefect")
    assert not set(DATABASE_VARIABLES) & home_variables(home, quiet=True).keys()


def test_a_prefect_home_of_ones_own_keeps_its_database(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PREFECT_HOME": "/elsewhere", "PATH": os.environ["PATH"]})
    apply_environment(home)
    assert DATABASE_VARIABLES[0] not in os.environ
