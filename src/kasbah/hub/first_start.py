"""The first start: an administrator `root`, and a token of theirs in a file only the owner can read.

The file and the database cannot be written in one step, so the order is: token into the file (durable), then into
the database. A crash in between leaves a file whose token is unknown; the next start sees that and takes this very
token in. Once the database knows a root token, a deleted file is not written again and a revoked token does not come back:
the token was handed over.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from kasbah.errors import UserError
from kasbah.hub.accounts import store
from kasbah.hub.accounts.model import ROOT_SCOPES, NewToken, NewUser
from kasbah.hub.accounts.service import AccountService
from kasbah.hub.accounts.tokens import CHARACTERS, PREFIX
from kasbah.hub.clock import Clock
from kasbah.hub.database import Database
from kasbah.hub.identity import User
from kasbah.kit import private_file
from kasbah.kit.secrets import Secret, fingerprint, generate_token

ROOT: Final = NewUser(username="root", name="Administrator", email="root@localhost", is_admin=True)
_TOKEN_NAME: Final = "root-token"  # noqa: S105 - the name people see in lists
_TOKEN = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{50}")

_log = structlog.get_logger()


async def ensure_root(database: Database, clock: Clock, accounts: AccountService, token_file: Path) -> None:
    """Make `root` and their token, or finish what an interrupted first start began.

    Raises:
        UserError: the file holds something else than a token of ours.
    """
    root = await accounts.find_by_username(ROOT.username) or await accounts.create(ROOT)
    async with database.reading() as connection:
        if await store.has_had_token(connection, root.id, _TOKEN_NAME):
            return
    secret = _read(token_file) or _write(token_file, generate_token(PREFIX, CHARACTERS))
    await _insert(database, root, secret, clock())
    _log.info("administrator created", username=root.username, token_file=str(token_file))


async def _insert(database: Database, root: User, secret: Secret, now: datetime) -> None:
    new = NewToken(
        name=_TOKEN_NAME, scopes=ROOT_SCOPES, expires_at=None, description="made at the first start"
    )
    async with database.writing() as connection:
        await store.insert_token(connection, root.id, new, fingerprint(secret), now)


def _read(path: Path) -> Secret | None:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    if not _TOKEN.fullmatch(text):
        raise UserError(f"{path} holds no token of ours: move it away, and a new one is written")
    path.chmod(0o600)
    return Secret(text)


def _write(path: Path, secret: Secret) -> Secret:
    """Whole or not at all, and on the disk when this returns."""
    private_file.write(path, f"{secret.reveal()}\n".encode())
    return secret
