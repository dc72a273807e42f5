from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kasbah.hub.audit import service as service_module
from kasbah.hub.audit.service import AuditService
from kasbah.hub.errors import NotFoundError, UnprocessableError
from kasbah.kit.chained_log.log import ChainedLog
from kasbah.wire.audit_record import AuditedIdentity, AuditedTarget, AuditedUser, AuditFilter, AuditRecord

pytestmark = pytest.mark.asyncio


def record(number: int, **changes: object) -> AuditRecord:
    values: dict[str, object] = {
        "phase": "ended",
        "at": f"2026-11-21T12:00:{number:02d}.000Z",
        "request_id": f"{number:032x}",
        "trace_id": "b" * 32,
        "user": AuditedUser(id=4, username="mia", access_type="personal_access_token"),
        "identity": AuditedIdentity(kind="agent"),
        "agent_id": 7,
        "target": AuditedTarget(verb="get", path="/api"),
        "status": 200,
    }
    return AuditRecord(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def service(tmp_path: Path) -> AuditService:
    log = ChainedLog(tmp_path)
    log.append([msgspec.json.encode(record(number, agent_id=7 + number % 2)) for number in range(20)])
    log.close()
    return AuditService(tmp_path)


def seconds(records: list[dict[str, str]]) -> list[int]:
    return [int(found["at"][17:19]) for found in records]


async def test_records_come_newest_first_page_by_page(service: AuditService):
    first = await service.find(AuditFilter(), limit=8, place=0)
    second = await service.find(AuditFilter(), limit=8, place=first.read_upto)
    third = await service.find(AuditFilter(), limit=8, place=second.read_upto)
    told = seconds(first.records) + seconds(second.records) + seconds(third.records)
    assert told == list(range(20))[::-1]
    assert third.read_upto == 0


async def test_records_come_oldest_first_when_asked_so(service: AuditService):
    first = await service.find(AuditFilter(), limit=15, place=0, oldest_first=True)
    second = await service.find(AuditFilter(), limit=15, place=first.read_upto, oldest_first=True)
    assert seconds(first.records) + seconds(second.records) == list(range(20))
    assert second.read_upto == 0


async def test_a_record_is_shown_with_its_number_and_its_hash(service: AuditService):
    (newest,) = (await service.find(AuditFilter(), limit=1, place=0)).records
    assert (newest["id"], len(newest["hash"]), newest["agent_id"]) == (21, 64, 8)


async def test_only_what_was_asked_for_is_found_and_older_is_not_looked_at(service: AuditService):
    asked = AuditFilter(agent_id=8, since="2026-11-21T12:00:10")
    found = await service.find(asked, limit=20, place=0)
    assert seconds(found.records) == [19, 17, 15, 13, 11]
    assert found.read_upto == 0
    forwards = await service.find(asked, limit=20, place=0, oldest_first=True)
    assert seconds(forwards.records) == [11, 13, 15, 17, 19]


async def test_one_record_of_a_wrong_clock_hides_none_behind_it(tmp_path: Path):
    records = [record(1), record(2, at="1970-01-01T00:00:07.000Z"), record(3)]
    log = ChainedLog(tmp_path)
    log.append([msgspec.json.encode(each) for each in records])
    log.close()
    asked = AuditFilter(since="2026-11-21T12:00:00Z")
    found = await AuditService(tmp_path).find(asked, limit=20, place=0)
    assert seconds(found.records) == [3, 1]


async def test_one_question_reads_a_bounded_part(service: AuditService, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service_module, "_MOST_READ", 5)
    found = await service.find(AuditFilter(user="nobody"), limit=20, place=0)
    assert found.records == []
    assert found.read_upto == 17


async def test_the_log_is_proved(service: AuditService):
    found = await service.verify("")
    assert (found.fault, found.lines) == (None, 21)
    assert (await service.verify("0" * 64)).fault is not None


async def test_a_log_too_large_to_be_proved_here_is_left_to_its_machine(
    service: AuditService, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service_module, "_MOST_VERIFIED_BYTES", 100)
    with pytest.raises(UnprocessableError, match="kasbah audit verify --directory"):
        await service.verify("")


async def test_without_a_log_there_is_nothing_to_be_found():
    with pytest.raises(NotFoundError):
        await AuditService(None).find(AuditFilter(), limit=1, place=0)
