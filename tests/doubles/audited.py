"""Requests' records for tests of what writes them down: made from a head as a client sends it."""

from __future__ import annotations

from kasbah.kas.kubernetes_api import grant as grants
from kasbah.kas.kubernetes_api.access import Access, Basis
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.record import RequestRecord
from kasbah.wire import http1, request_policy
from kasbah.wire.identity import AsUser, Identity

MIA = AsUser(username="gitlab:user:mia", groups=("gitlab:user", "gitlab:project_role:3:developer"))
BASIS = Basis(project_path="ops/fleet", file="config.yaml", entry="user_access.projects[0]", line=3)


def grant(identity: Identity = MIA, *, agent_id: int = 7) -> Grant:
    """A grant of the person mia."""
    access = Access(
        agent_id=agent_id,
        config_project_id=3,
        access_type="personal_access_token",
        user_id=4,
        username="mia",
        identity=identity,
        basis=BASIS,
    )
    return grants.issue("a" * 16, access, deadline_ms=1000)


def record(
    line: bytes, *lines: bytes, given: Grant | None = None, user_agent: bytes = b"kubectl/v1.36"
) -> RequestRecord:
    """The record of a request like `GET /api/v1/pods`."""
    token = b"Authorization: Bearer pat:7:canary-token"
    head = http1.request_head(b"\r\n".join((line + b" HTTP/1.1", b"Host: a", token, *lines, b"", b"")))
    made = RequestRecord(request_policy.prepare(head, 0), "192.0.2.1", user_agent)
    made.grant = given
    return made
