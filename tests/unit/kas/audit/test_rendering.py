from __future__ import annotations

import msgspec
import pytest

from kasbah.errors import Bug
from kasbah.kas.audit.rendering import Renderer
from kasbah.kas.kubernetes_api.record import RequestRecord
from kasbah.kit.chained_log.chain import MAX_RECORD_BYTES
from kasbah.wire import audit_record
from kasbah.wire.audit_record import AuditedBasis, AuditRecord
from kasbah.wire.identity import AsAgent, AsUser
from tests.doubles import audited


def rendered(record: RequestRecord, renderer: Renderer | None = None) -> AuditRecord:
    line = (renderer or Renderer()).render(record, "ended", now=record.started_at + 0.25, at=1795262400.5)
    assert len(line) <= MAX_RECORD_BYTES
    assert b"\n" not in line
    read = audit_record.read(line)
    assert read is not None
    return read


def test_a_record_says_who_did_what_as_whom_and_how_it_ended():
    record = audited.record(b"PATCH /apis/apps/v1/namespaces/web/deployments/a/scale", given=audited.grant())
    record.status, record.received, record.sent, record.outcome = 200, 11, 22, "completed"
    made = rendered(record)
    assert (made.user.id, made.user.username, made.agent_id) == (4, "mia", 7)
    assert (made.identity.username, made.identity.chosen_by) == ("gitlab:user:mia", "configuration")
    assert made.basis == AuditedBasis(
        project_path="ops/fleet", file="config.yaml", entry="user_access.projects[0]", line=3
    )
    target = made.target
    assert (target.verb, target.group, target.version, target.resource) == (
        "patch",
        "apps",
        "v1",
        "deployments",
    )
    assert (target.subresource, target.namespace, target.name) == ("scale", "web", "a")
    assert (made.status, made.received, made.sent, made.outcome) == (200, 11, 22, "completed")
    assert (made.duration_ms, made.at) == (250.0, "2026-11-21T12:00:00.500Z")
    assert (made.request_id, made.trace_id) == (record.request_id, record.trace_id)
    assert (made.client_address, made.user_agent) == ("192.0.2.1", "kubectl/v1.36")


def test_whom_the_client_chose_is_told_apart():
    as_ada = (b"Impersonate-User: ada", b"Impersonate-Group: admins")
    record = audited.record(b"GET /api/v1/pods", *as_ada, given=audited.grant(AsAgent()))
    identity = rendered(record).identity
    assert (identity.kind, identity.username, identity.groups) == ("user", "ada", ("admins",))
    assert identity.chosen_by == "client"


def test_the_extras_that_the_client_chose_are_told():
    chosen = (b"Impersonate-User: ada", b"Impersonate-Extra-Scopes: view", b"Impersonate-Extra-Scopes: edit")
    record = audited.record(b"GET /api/v1/pods", *chosen, given=audited.grant(AsAgent()))
    assert rendered(record).identity.extra == {"scopes": ("view", "edit")}


def test_extras_have_a_bound():
    extra = tuple((f"{number}" + "\x01" * 100, ('"' * 100,) * 5) for number in range(40))
    groups = tuple('"' * 500 for _ in range(60))
    identity = AsUser(username='"' * 500, groups=groups, uid='"' * 500, extra=extra)
    told = rendered(audited.record(b"GET /api", given=audited.grant(identity))).identity.extra
    assert len(told) == 17
    assert told["…"] == ("and 24 more",)
    assert told["0" + "\x01" * 63] == ('"' * 64, '"' * 64, "… and 3 more")


def test_whom_the_client_may_not_choose_is_not_told_as_acting():
    record = audited.record(b"GET /api/v1/pods", b"Impersonate-User: ada", given=audited.grant())
    assert rendered(record).identity.username == "gitlab:user:mia"


def test_secrets_of_the_request_are_not_in_its_record():
    exec_ = b"POST /api/v1/namespaces/a/pods/b/exec?command=mysql&command=-pcanary&stdin=true&x=canary"
    record = audited.record(exec_, b"Kubectl-Command: canary", given=audited.grant())
    line = Renderer().render(record, "begun", now=0, at=0)
    assert b"canary" not in line
    assert rendered(record).target.query == ("command", "command", "stdin=true", "x")


def test_what_repeats_is_made_once_and_remembered_in_bounds():
    renderer, grant = Renderer(), audited.grant()
    first = rendered(audited.record(b"GET /api/v1/pods", given=grant), renderer)
    for number in range(3000):
        path = b"GET /api/v1/namespaces/a/pods/p%d" % number
        made = rendered(audited.record(path, given=audited.grant(agent_id=number + 1)), renderer)
        assert (made.target.name, made.agent_id) == (f"p{number}", number + 1)
    assert len(renderer._who) <= 1024
    assert len(renderer._what) <= 1024
    assert rendered(audited.record(b"GET /api/v1/pods", given=grant), renderer).user == first.user


def test_however_long_strangers_make_it_a_record_has_a_bound():
    groups = [b"Impersonate-Group: %b%d" % (b"g" * 560, number) for number in range(80)]
    path = b"GET /" + b"/".join([b"a" * 1000] * 4) + b"?" + b"&".join([b"%01" * 90] * 39)
    record = audited.record(
        path, b"Impersonate-User: ada", *groups, given=audited.grant(AsAgent()), user_agent=b"\xff\x00" * 9000
    )
    made = rendered(record)
    assert made.identity.groups[-1] == "… and 16 more"
    assert len(made.user_agent) == 256


def test_the_clock_is_read_to_the_millisecond():
    timestamp = Renderer().timestamp
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1795262400.0015) == "2026-11-21T12:00:00.001Z"
    assert timestamp(1795262400.9999) == "2026-11-21T12:00:00.999Z"


def test_a_record_is_one_object_of_json():
    line = Renderer().render(audited.record(b"GET /api", given=audited.grant()), "begun", now=0, at=0)
    assert msgspec.json.decode(line)["type"] == "kubernetes_request"


def test_nobody_has_no_record():
    with pytest.raises(Bug):
        Renderer().render(audited.record(b"GET /api"), "ended", now=0, at=0)
