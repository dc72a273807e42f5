"""The administrator and the token file, also when a start was interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.hub.accounts.model import ROOT_SCOPES
from kasbah.hub.errors import TokenRevokedError
from kasbah.hub.first_start import ensure_root
from kasbah.kit.secrets import Secret
from tests.doubles.hub_services import HubServices

pytestmark = pytest.mark.asyncio


async def start(hub: HubServices, directory: Path) -> str:
    await ensure_root(hub.database, hub.clock, hub.accounts, directory / "root-token")
    return (directory / "root-token").read_text().strip()


async def test_the_token_opens_everything_for_ever(hub: HubServices, tmp_path: Path):
    token = await start(hub, tmp_path)
    root = await hub.accounts.authenticate_pat(Secret(token))
    assert (root.user.username, root.user.is_admin) == ("root", True)
    assert root.scopes == set(ROOT_SCOPES)
    assert root.token.expires_at is None
    assert (tmp_path / "root-token").stat().st_mode & 0o777 == 0o600


async def test_a_second_start_changes_nothing(hub: HubServices, tmp_path: Path):
    token = await start(hub, tmp_path)
    assert await start(hub, tmp_path) == token


async def test_a_token_that_only_the_file_knows_is_taken_in(hub: HubServices, tmp_path: Path):
    left_over = "glpat-" + "a" * 50
    (tmp_path / "root-token").write_text(left_over + "\n")
    assert await start(hub, tmp_path) == left_over
    assert (await hub.accounts.authenticate_pat(Secret(left_over))).user.username == "root"
    assert (tmp_path / "root-token").stat().st_mode & 0o777 == 0o600


async def test_a_token_that_was_revoked_stays_so_and_no_other_takes_its_place(
    hub: HubServices, tmp_path: Path
):
    token = await start(hub, tmp_path)
    root = await hub.accounts.authenticate_pat(Secret(token))
    await hub.tokens.revoke(root.token.id)
    assert await start(hub, tmp_path) == token
    with pytest.raises(TokenRevokedError):
        await hub.accounts.authenticate_pat(Secret(token))


async def test_a_file_that_was_handed_over_and_removed_stays_away(hub: HubServices, tmp_path: Path):
    await start(hub, tmp_path)
    (tmp_path / "root-token").unlink()
    await ensure_root(hub.database, hub.clock, hub.accounts, tmp_path / "root-token")
    assert not (tmp_path / "root-token").exists()


async def test_somebodys_own_file_is_not_overwritten(hub: HubServices, tmp_path: Path):
    (tmp_path / "root-token").write_text("shopping list")
    with pytest.raises(UserError, match="holds no token of ours"):
        await start(hub, tmp_path)
    assert (tmp_path / "root-token").read_text() == "shopping list"
