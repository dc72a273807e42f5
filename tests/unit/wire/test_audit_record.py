from __future__ import annotations

import msgspec
import pytest

from kasbah.wire import audit_record
from kasbah.wire.audit_record import (
    AuditedIdentity,
    AuditedTarget,
    AuditedUser,
    AuditFilter,
    AuditRecord,
    Horizon,
    audited_identity,
    audited_query,
)
from kasbah.wire.identity import AsAgent, AsUser

RECORD = AuditRecord(
    phase="ended",
    at="2026-11-21T12:00:00.000Z",
    request_id="a" * 32,
    trace_id="b" * 32,
    user=AuditedUser(id=4, username="mia", access_type="personal_access_token"),
    identity=AuditedIdentity(kind="agent"),
    agent_id=7,
    target=AuditedTarget(verb="get", version="v1", resource="pods", namespace="web", path="/api"),
    status=200,
    outcome="completed",
)


def but(**changes: object) -> AuditRecord:
    return msgspec.structs.replace(RECORD, **changes)


def test_a_record_is_read_as_it_was_written():
    assert audit_record.read(msgspec.json.encode(RECORD)) == RECORD


@pytest.mark.parametrize("other", [b'{"type":"log.segment"}', b"{", b"[]", b'{"type":"\xff"}', b"[" * 50_000])
def test_records_of_others_are_passed_over(other: bytes):
    assert audit_record.read(other) is None


@pytest.mark.parametrize(
    ("asked", "admits"),
    [
        (AuditFilter(), True),
        (AuditFilter(agent_id=7, user="mia", namespace="web", verb="get"), True),
        (AuditFilter(user="4"), True),
        (AuditFilter(since="2026-11-21T12:00:00.000Z", request_id="a" * 32), True),
        (AuditFilter(agent_id=8), False),
        (AuditFilter(user="noah"), False),
        (AuditFilter(namespace="we"), False),
        (AuditFilter(verb="list"), False),
        (AuditFilter(since="2026-11-21T12:00:00.001Z"), False),
        (AuditFilter(request_id="b" * 32), False),
        (AuditFilter(failed=True), False),
    ],
)
def test_a_filter_admits_what_fits_all_of_it(asked: AuditFilter, admits: bool):
    assert asked.admits(RECORD) == admits


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"status": 403}, True),
        ({"status": 503, "outcome": "refused"}, True),
        ({"outcome": "cut"}, True),
        ({"outcome": "broken"}, True),
        ({"outcome": "cancelled"}, False),
        ({"status": 101, "phase": "answered", "outcome": ""}, False),
    ],
)
def test_a_bad_end_is_told_from_a_client_that_left(changes: dict[str, object], failed: bool):
    assert but(**changes).failed == failed


def test_a_moment_is_behind_when_a_thousand_records_in_a_row_are_an_hour_older():
    horizon = Horizon("2026-11-21T12:00:00.000Z")
    older, nearly = but(at="2026-11-21T10:59:59.999Z"), but(at="2026-11-21T11:00:00.000Z")
    assert not any(horizon.passed(older) for _ in range(999))
    assert not horizon.passed(nearly)
    assert [horizon.passed(older) for _ in range(1000)] == [False] * 999 + [True]


@pytest.mark.parametrize("since", ["", "0001-01-01T00:00:00.000Z", "2026-13-45"])
def test_without_a_moment_that_has_an_hour_before_it_nothing_is_behind(since: str):
    horizon = Horizon(since)
    assert not any(horizon.passed(but(at="0001-01-01T00:00:00.000Z")) for _ in range(2000))


def test_an_identity_says_who_chose_it():
    agent = audited_identity(AsAgent())
    assert (agent.kind, agent.username, agent.chosen_by) == ("agent", "", "configuration")
    user = audited_identity(AsUser(username="ada", groups=("a", "b"), uid="7"), "client")
    assert (user.kind, user.username, user.groups, user.uid) == ("user", "ada", ("a", "b"), "7")
    assert user.chosen_by == "client"
    assert not user.extra


def test_an_identity_says_its_extras_and_reads_them_back():
    extra = (("scopes", ("view",)), ("reason", ("x", "y")), ("scopes", ("edit",)))
    identity = audited_identity(AsUser(username="ada", extra=extra))
    told = {"scopes": ("view", "edit"), "reason": ("x", "y")}
    assert identity.extra == told
    found = audit_record.read(msgspec.json.encode(but(identity=identity)))
    assert found is not None
    assert found.identity.extra == told


def test_of_a_query_only_harmless_values_are_told():
    query = b"watch=1&command=mysql&command=-pcanary&labelSelector=canary&dryRun=All&token=canary&stdin"
    told = audited_query(query)
    assert told == ("watch=1", "command", "command", "labelSelector", "dryRun=All", "token", "stdin")
    assert audited_query(b"") == ()
