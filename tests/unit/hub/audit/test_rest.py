from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kasbah.hub.audit.rest import AuditRest, RecordsAsked, VerificationAsked
from kasbah.hub.audit.service import AuditService
from kasbah.hub.errors import ForbiddenError
from kasbah.hub.identity import Authenticated, PersonalAccessToken, User
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.parameters import ParametersError
from kasbah.kit.chained_log.log import ChainedLog
from tests.doubles.rest_call import make_call
from tests.unit.hub.audit.test_service import record

pytestmark = pytest.mark.asyncio


AT = datetime(2026, 11, 21, tzinfo=UTC)


def asking(*, admin: bool = True) -> Call:
    user = User(id=1, username="ada", name="Ada", email="", state="active", is_admin=admin, created_at=AT)
    token = PersonalAccessToken(
        id=1,
        user_id=1,
        name="t",
        description=None,
        scopes=("api",),
        revoked=False,
        expires_at=None,
        created_at=AT,
        last_used_at=None,
    )
    return make_call(authenticated=Authenticated(user=user, token=token))


@pytest.fixture
def rest(tmp_path: Path) -> AuditRest:
    log = ChainedLog(tmp_path, utc_now=lambda: AT)
    log.append([msgspec.json.encode(record(number)) for number in range(5)])
    log.close()
    return AuditRest(AuditService(tmp_path))


async def pages(rest: AuditRest, **asked: Any) -> list[list[int]]:
    found, page = [], "1"
    while page:
        reply = await rest.records(asking(), RecordsAsked(page=int(page), **asked))
        found.append([shown["id"] for shown in reply.body])  # type: ignore[attr-defined]
        page = reply.headers["X-Next-Page"]
    return found


async def test_pages_follow_each_other_both_ways(rest: AuditRest):
    assert [page for page in await pages(rest, per_page=2) if page] == [[6, 5], [4, 3], [2]]
    assert [page for page in await pages(rest, per_page=2, sort="asc") if page] == [[2, 3], [4, 5], [6]]


@pytest.mark.parametrize(
    ("since", "found"), [("2026-11-21T12:00:03Z", 2), ("2026-11-21", 5), ("2026-11-22", 0)]
)
async def test_since_is_a_moment(rest: AuditRest, since: str, found: int):
    reply = await rest.records(asking(), RecordsAsked(since=since))
    assert len(reply.body) == found  # type: ignore[arg-type]


async def test_the_proof_is_told_with_its_head(rest: AuditRest):
    told: Any = (await rest.verification(asking(), VerificationAsked())).body
    assert (told["records"], told["sequence"], told["fault"]) == (6, 6, None)
    cut: Any = (await rest.verification(asking(), VerificationAsked(head="0" * 64))).body
    assert cut["fault"]["line"] == 6


async def test_only_administrators_may_look(rest: AuditRest):
    with pytest.raises(ForbiddenError):
        await rest.records(asking(admin=False), RecordsAsked())
    with pytest.raises(ForbiddenError):
        await rest.verification(asking(admin=False), VerificationAsked())


async def test_what_is_no_moment_and_no_hash_is_refused(rest: AuditRest):
    with pytest.raises(ParametersError, match="since is invalid"):
        await rest.records(asking(), RecordsAsked(since="yesterday"))
    with pytest.raises(ParametersError, match="head is invalid"):
        await rest.verification(asking(), VerificationAsked(head="x"))
