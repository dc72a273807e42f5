"""Headers that name an identity, a credential, a host or the connection: none of a client's reaches an API server."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kasbah.kas.kubernetes_api import grant as grants
from kasbah.wire import http1, request_policy
from kasbah.wire.http1 import MalformedMessageError
from kasbah.wire.identity import AsAgent, AsUser, Identity
from kasbah.wire.kubernetes_api import stamped
from kasbah.wire.request_policy import RefusedRequestError
from tests.doubles.api_server_view import AGENTS_TOKEN, AUTHORITY, SeenRequest, seen_of
from tests.doubles.people import access_of_mia

TOKEN = b"Authorization: Bearer pat:7:secret-of-mia"
MIA = AsUser(
    username="gitlab:user:mia",
    groups=("gitlab:user", "gitlab:project_role:40:developer"),
    extra=(("agent.gitlab.com/id", ("7",)),),
)
MIAS_HEADERS = [
    ("impersonate-user", "gitlab:user:mia"),
    ("impersonate-group", "gitlab:user"),
    ("impersonate-group", "gitlab:project_role:40:developer"),
    ("impersonate-extra-agent.gitlab.com%2fid", "7"),
]
MAY_ARRIVE = {
    "accept", "accept-encoding", "audit-id", "authorization", "content-length", "content-type", "host", "if-match",
    "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "kubectl-command", "kubectl-session",
    "range", "traceparent", "transfer-encoding", "user-agent", "via",
}  # fmt: skip
IDENTITIES = [
    "Impersonate-User",
    "Impersonate-Group",
    "Impersonate-Uid",
    "Impersonate-Extra-Scopes",
    "Impersonate-",
]
IDENTITIES += ["X-Remote-User", "X-Remote-Group", "X-Remote-Extra-Scopes", "X-Remote-Uid"]
ELSEWHERE = [
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-User",
    "Forwarded",
    "X-Real-Ip",
]
ELSEWHERE += [
    "X-Original-Url",
    "X-Rewrite-Url",
    "X-Http-Method-Override",
    "X-Method-Override",
    "X-Auth-Request-User",
]
ELSEWHERE += [
    "Proxy-Authorization",
    "Proxy-Connection",
    "Cookie",
    "Set-Cookie",
    "Te",
    "Trailer",
    "Keep-Alive",
]
ELSEWHERE += [
    "Via",
    "Private-Token",
    "Job-Token",
    "X-Csrf-Token",
    "Gitlab-Agent-Id",
    "Sudo",
    "Audit-Id",
    "Origin-Agent",
]
ELSEWHERE += [
    "X-Request-Id",
    "Baggage",
    "Tracestate",
    "Sec-Websocket-Protocol",
    "X-Stream-Protocol-Version",
    "Expect-Ct",
]
VALUES = [b"system:masters", b"admin", b"", b" ", b"a, b", b"gitlab:user:mia", b"\xe9", b"system:admin\t"]


def spelt(name: str) -> list[bytes]:
    return [name.encode(), name.lower().encode(), name.upper().encode()]


def cases() -> list[tuple[bytes, ...]]:
    """Header lines that a client adds."""
    found: list[tuple[bytes, ...]] = []
    for name, value in product(IDENTITIES + ELSEWHERE, VALUES[:2]):
        found += [(each + b": " + value,) for each in spelt(name)]
    for name, value in product(IDENTITIES, VALUES):
        line = name.encode() + b": " + value
        found += [
            (line, line),
            (b"Connection: " + name.encode(), line),
            (line, b"Connection: close, " + name.encode()),
        ]
    for name in IDENTITIES + ELSEWHERE:
        other = name.replace("-", "_").encode()
        found += [(other + b": admin",), (name.encode() + b" : admin",), (b" " + name.encode() + b": admin",)]
        found.append((b"X-Innocent: a\r\n " + name.encode() + b": admin",))
    for name in ("Authorization", "Accept", "Host", "User-Agent", "Content-Length"):
        found.append((b"Connection: " + name.encode(),))
    pair = (b"Impersonate-User: alice", b"Impersonate-Group: system:masters")
    found += [pair, pair[::-1], (*pair, b"Impersonate-Uid: 1"), (*pair, b"Impersonate-User: bob")]
    return found


def seen(identity: Identity, lines: tuple[bytes, ...]) -> SeenRequest:
    """What the API server gets; raises what the client is refused with."""
    raw = b"\r\n".join((b"GET /api/v1/pods HTTP/1.1", b"Host: kas", TOKEN, *lines, b"", b""))
    request = request_policy.prepare(http1.request_head(raw), 0)
    granted = grants.issue("g", access_of_mia(identity), deadline_ms=1000)
    if request.impersonation is not None and not granted.may_impersonate:
        raise RefusedRequestError(400, request_policy.NESTED_IMPERSONATION)
    envelope = granted.envelope_for(upgrade="", open_ended=False, impersonation=request.impersonation)
    name = "1" * 32
    return seen_of(envelope + stamped(request.head, request_id=name, trace_id=name, trace_flags="00"))


def check(identity: Identity, lines: tuple[bytes, ...]) -> str:
    """What became of it; fails when anything arrives that should not."""
    try:
        arrived = seen(identity, lines)
    except (RefusedRequestError, MalformedMessageError) as error:
        return f"refused with {error.status}"
    asked = said_by(lines) if isinstance(identity, AsAgent) else MIAS_HEADERS
    assert arrived.identity == asked
    assert arrived.values("authorization") == [f"Bearer {AGENTS_TOKEN}"]
    assert arrived.values("host") == [AUTHORITY]
    assert (
        len(arrived.values("audit-id"))
        == len(arrived.values("traceparent"))
        == len(arrived.values("via"))
        == 1
    )
    assert {name for name, _ in arrived.headers} - MAY_ARRIVE <= {name for name, _ in asked}
    assert "secret-of-mia" not in repr(arrived)
    return "passed, and clean"


def said_by(lines: tuple[bytes, ...]) -> list[tuple[str, str]]:
    """An oracle of its own: whom the client named, in the order in which headers of an identity are sent."""
    pairs = [line.decode("latin-1").partition(":") for line in lines]
    named = [(name.lower(), value.strip()) for name, _, value in pairs]
    order = ["impersonate-user", "impersonate-group", "impersonate-uid"]
    found = [(key, value) for wanted in order for key, value in named if key == wanted]
    return found + [(key, value) for key, value in named if key.startswith("impersonate-extra-")]


@pytest.mark.parametrize("identity", [AsAgent(), MIA], ids=["as the agent", "as mia"])
def test_no_header_of_a_client_says_who_asks(identity, tally):
    assert len(cases()) >= 150
    for lines in cases():
        tally(check(identity, lines))


NAMES = st.sampled_from(IDENTITIES + ELSEWHERE + ["Accept", "Range", "Connection", "Content-Length", "Host"])
TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
LINES = st.lists(st.tuples(NAMES, TEXT).map(lambda pair: f"{pair[0]}: {pair[1]}".encode()), max_size=6).map(
    tuple
)


@given(lines=LINES, acts_as_agent=st.booleans())
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nor_does_any_mixture_of_them(lines, acts_as_agent):
    check(AsAgent() if acts_as_agent else MIA, lines)
