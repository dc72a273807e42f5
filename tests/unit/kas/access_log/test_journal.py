from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kasbah.kas.access_log.journal import AccessLog, open_access_log
from kasbah.kas.access_log.settings import AccessLogSettings
from kasbah.kit.tasks import alongside
from kasbah.wire import http1
from tests.doubles import audited

pytestmark = pytest.mark.asyncio


def read_bytes(path: Path) -> bytes:
    return path.read_bytes()


async def line_of(path: Path, write: object) -> dict[str, Any]:
    log = open_access_log(AccessLogSettings(file=str(path)))
    assert log is not None
    async with alongside(log.run()):
        await asyncio.sleep(0)
        write(log)  # type: ignore[operator]
    text = read_bytes(path)
    assert b"canary" not in text
    return msgspec.json.decode(text)


async def test_a_request_is_a_line_under_the_id_that_the_audit_log_has(tmp_path: Path):
    record = audited.record(b"DELETE /api/v1/namespaces/a/pods/b", given=audited.grant())
    record.status, record.sent, record.outcome = 200, 5, "completed"
    line = await line_of(tmp_path / "log", lambda log: log.ended(record))
    assert (line["request_id"], line["trace_id"]) == (record.request_id, record.trace_id)
    assert (line["method"], line["path"], line["status"]) == ("DELETE", "/api/v1/namespaces/a/pods/b", 200)
    assert (line["user"], line["agent_id"], line["client_address"]) == ("mia", 7, "192.0.2.1")
    assert (line["sent"], line["outcome"], line["user_agent"]) == (5, "completed", "kubectl/v1.36")


async def test_of_a_query_only_names_are_told(tmp_path: Path):
    path = b"GET /api/v1/namespaces/a/pods/b/exec?command=canary&stdin=true&labelSelector=canary"
    line = await line_of(tmp_path / "log", lambda log: log.ended(audited.record(path, given=audited.grant())))
    assert line["parameters"] == ["command", "stdin", "labelSelector"]


async def test_who_was_not_let_in_has_a_line_without_a_name(tmp_path: Path):
    record = audited.record(b"GET /api/v1/pods")
    record.status, record.outcome = 401, "refused"
    line = await line_of(tmp_path / "log", lambda log: log.ended(record))
    assert (line["status"], line["outcome"], line["agent_id"]) == (401, "refused", 7)
    assert "user" not in line


async def test_who_was_turned_away_at_the_door_has_a_line(tmp_path: Path):
    head = http1.request_head(
        b"GET /k8s/api?private_token=canary HTTP/1.1\r\nHost: a\r\nUser-Agent: curl\r\n"
        b"Authorization: Bearer canary\r\n\r\n"
    )
    line = await line_of(tmp_path / "log", lambda log: log.turned_away(head, "192.0.2.9", 401))
    assert (line["path"], line["parameters"], line["status"]) == ("/k8s/api", ["private_token"], 401)
    assert (line["client_address"], line["user_agent"]) == ("192.0.2.9", "curl")


async def test_however_long_a_query_is_the_line_has_a_bound(tmp_path: Path):
    query = b"&".join(b"p%d=canary" % number for number in range(90))
    record = audited.record(b"GET /api/v1/pods?" + query, given=audited.grant())
    line = await line_of(tmp_path / "log", lambda log: log.ended(record))
    assert len(line["parameters"]) == 32


async def test_it_takes_no_part_in_what_is_begun_or_answered(tmp_path: Path):
    log = AccessLog(AccessLogSettings(file=str(tmp_path / "log")))
    record = audited.record(b"DELETE /api", given=audited.grant())
    log.begun(record)
    assert log.answered(record, None) is True  # type: ignore[arg-type]
    assert (tmp_path / "log").read_bytes() == b""


async def test_without_a_file_there_is_none():
    assert open_access_log(AccessLogSettings()) is None
