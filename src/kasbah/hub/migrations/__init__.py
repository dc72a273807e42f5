"""The schema's history, and how a database is brought up to it.

The long-running program never imports Alembic: it compares one row with `HEAD`, and only when they differ starts
`python -m kasbah.hub.migrations`, which does the work and ends. That keeps 12 MiB out of a server that migrates once a
release.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from kasbah.hub.database import Database
from kasbah.hub.errors import DatabaseUnavailableError
from kasbah.kit.secrets import scrub

HEAD: Final = "0003"
"""The revision this version of the program speaks; a test compares it with the scripts."""
_LONGEST_S: Final = 600


async def migrate(database: Database) -> None:
    """Bring the database to `HEAD`; nothing is done, and nothing loaded, when it is there already.

    Raises:
        DatabaseUnavailableError: the scripts failed, each is undone whole; or a newer version was here before.
    """
    found = await _revision(database)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise DatabaseUnavailableError(
            f"the database was written by a newer Kasbah (its revision is {found}, this one knows up to {HEAD}): "
            "start the newer one again; nothing was changed"
        )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        # By stdin: the URL may hold a password, and arguments are everybody's to read.
        async with asyncio.timeout(_LONGEST_S):
            _, stderr = await process.communicate(database.url.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = scrub(stderr.decode(errors="replace")).strip().splitlines()
        raise DatabaseUnavailableError(f"the database could not be migrated: {lines[-1] if lines else ''}")


async def _revision(database: Database) -> str | None:
    try:
        async with database.reading() as connection:
            found = await connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    except (DatabaseUnavailableError, DBAPIError):
        return None  # no such table yet; a database that is truly away fails the migration, which says why
    return str(found)
