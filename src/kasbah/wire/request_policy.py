"""What of a client's request goes on to a cluster, decided once and here.

In this order: the credential is taken out; everything that belongs to the connection goes; of the rest only what
is on the list stays. What the client says of identities never travels as it stands: `Impersonate-*` is read into a typed
identity, which only a grant that acts as the agent itself may take up, and `X-Remote-*` is refused. Nothing of it is
silently stripped, because whoever typed `kubectl --as` would act with more power than they meant to. The identity is
added last, by agentk. The answer is a pure function of the head, and remembered for small ones.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from kasbah.errors import UserError
from kasbah.wire import http1, identity
from kasbah.wire.credential import Credential, UnreadableCredentialError, read_credential
from kasbah.wire.http1 import Headers, RequestHead
from kasbah.wire.identity import AsUser, InvalidIdentityError
from kasbah.wire.request_target import ApiTarget, RefusedTargetError, parse_target
from kasbah.wire.websocket import accept_key

VIA: Final = b"Via: 1.1 kasbah-kas\r\n"
NESTED_IMPERSONATION: Final = (
    f"Bad request: {identity.NESTED_IMPERSONATION}; leave out --as and Impersonate-* headers"
)
_REMEMBERED_REQUESTS = 1024
_MAX_USER_AGENT_BYTES = 256
_BEARER_PROTOCOL = b"base64url.bearer.authorization.k8s.io."
_IDENTITY = (b"impersonate-", b"x-remote-")
# Version 00 of W3C Trace Context; neither id may be all zeros.
_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_UPGRADES: Final = {b"websocket": "websocket", b"spdy/3.1": "SPDY/3.1"}
# What travels on, with the spelling it gets. Framing, WebSocket protocols and the user agent have rules of their own.
_ALLOWED: Final = {
    b"accept": b"Accept",
    b"accept-encoding": b"Accept-Encoding",
    b"content-type": b"Content-Type",
    b"if-match": b"If-Match",
    b"if-modified-since": b"If-Modified-Since",
    b"if-none-match": b"If-None-Match",
    b"if-range": b"If-Range",
    b"if-unmodified-since": b"If-Unmodified-Since",
    b"kubectl-command": b"Kubectl-Command",
    b"kubectl-session": b"Kubectl-Session",
    b"range": b"Range",
}
_ALLOWED_IN_UPGRADES: Final = {
    b"origin": b"Origin",  # a watch by WebSocket is refused without one; whose page may ask, kas has decided
    b"sec-websocket-extensions": b"Sec-WebSocket-Extensions",
    b"sec-websocket-key": b"Sec-WebSocket-Key",
    b"sec-websocket-version": b"Sec-WebSocket-Version",
    b"x-stream-protocol-version": b"X-Stream-Protocol-Version",
}


class RefusedRequestError(UserError):
    """kas does not pass this request on; the message is fit for the client."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ProxyRequest(msgspec.Struct, frozen=True, eq=False, kw_only=True, gc=False):
    """One client request, clean: what may be known of it, and the bytes that travel."""

    head: bytes
    """The head for agentk, with the empty line; without host, credential, identity and connection headers."""
    target: ApiTarget
    credential: Credential
    impersonation: AsUser | None
    """As whom the client wants to act, by `Impersonate-*` headers of its own (`kubectl --as`)."""
    bodiless_answer: bool
    """HEAD."""
    gzip_accepted: bool
    upgrade: str
    """`websocket`, `SPDY/3.1` or empty."""
    websocket_accept: bytes
    """What `Sec-WebSocket-Accept` must say in the 101."""
    repeatable: bool
    """Sending it twice does no more than sending it once, and it has no body."""
    trace_id: str = ""
    """Of the client's W3C `traceparent`, 32 hexadecimal digits; empty when it sent none that can be used."""
    parent_id: str = ""
    """Of the span in which the client sent it, 16 digits."""
    trace_flags: str = "00"
    user_agent: bytes = b""
    """As the client sent it."""


def prepare(head: RequestHead, prefix_bytes: int) -> ProxyRequest:
    """The clean request; `prefix_bytes` of the path belong to the proxy and not to Kubernetes. Small heads are remembered.

    Raises:
        RefusedRequestError: it is not passed on.
    """
    if head.size <= http1.REMEMBERED_HEAD_BYTES:
        return _remembered(head, prefix_bytes)
    return clean(head, prefix_bytes)


def clean(head: RequestHead, prefix_bytes: int) -> ProxyRequest:
    """As `prepare`, without remembering."""
    try:
        credential = read_credential(head)
    except UnreadableCredentialError as error:
        raise RefusedRequestError(401, f"Unauthorized: {error}") from error
    impersonation = _impersonation(head.headers)
    try:
        target = parse_target(head.method, head.target[prefix_bytes:])
    except RefusedTargetError as error:
        raise RefusedRequestError(400, f"Bad request: {error}") from error
    upgrade = _upgrade(head, target) if head.upgrade else ""
    trace = _TRACEPARENT.fullmatch(head.value(b"traceparent"))
    # A browser's answers are not compressed: a foreign page that can have its own words in them could guess the rest.
    encodings = [] if credential.kind == "session" else http1.list_values(head.headers, b"accept-encoding")
    return ProxyRequest(
        head=_forwarded(head, target, upgrade, plain=not encodings),
        target=target,
        credential=credential,
        impersonation=impersonation,
        bodiless_answer=head.method == b"HEAD",
        gzip_accepted=any(member.startswith(b"gzip") for member in encodings),
        upgrade=upgrade,
        websocket_accept=_websocket_accept(head) if upgrade == "websocket" else b"",
        repeatable=head.method in {b"GET", b"HEAD"} and not head.has_body and not upgrade,
        trace_id=trace[1].decode() if trace else "",
        parent_id=trace[2].decode() if trace else "",
        trace_flags=trace[3].decode() if trace else "00",
        user_agent=head.value(b"user-agent"),
    )


_remembered = lru_cache(maxsize=_REMEMBERED_REQUESTS)(clean)


def _impersonation(headers: Headers) -> AsUser | None:
    """Whom the client names; whether it may is the grant's to say."""
    named = [
        (name.decode(), value.decode("latin-1")) for name, value in headers if name.startswith(_IDENTITY)
    ]
    if not named:
        return None
    if remote := next((name for name, _ in named if name.startswith("x-remote-")), None):
        raise RefusedRequestError(400, f"Bad request: the header {remote} is not a client's to send")
    try:
        return identity.named_identity(named)
    except InvalidIdentityError as error:
        raise RefusedRequestError(400, f"Bad request: {error}") from error


def _upgrade(head: RequestHead, target: ApiTarget) -> str:
    """The one protocol asked for, if the target may switch to it."""
    upgrade = _UPGRADES.get(head.upgrade.lower())
    if upgrade is None:
        raise RefusedRequestError(
            400, "Bad request: the only upgrades are websocket and SPDY/3.1, one at a time"
        )
    if head.method not in {b"GET", b"POST"} or head.has_body:
        raise RefusedRequestError(400, "Bad request: an upgrade needs GET or POST and no body")
    if not target.may_upgrade:
        raise RefusedRequestError(400, "Bad request: there is nothing to upgrade to at this path")
    return upgrade


def _websocket_accept(head: RequestHead) -> bytes:
    keys = head.values(b"sec-websocket-key")
    if len(keys) != 1:
        raise RefusedRequestError(400, "Bad request: a WebSocket needs exactly one Sec-WebSocket-Key")
    return accept_key(keys[0])


def _forwarded(head: RequestHead, target: ApiTarget, upgrade: str, *, plain: bool) -> bytes:
    """The head for agentk; `plain`: the answer must not be encoded."""
    lines = [b"%b %b HTTP/1.1" % (head.method, target.raw)]
    allowed = _ALLOWED | _ALLOWED_IN_UPGRADES if upgrade else _ALLOWED
    of_the_connection = set(http1.list_values(head.headers, b"connection"))
    for name, value in head.headers:
        if name in allowed and name not in of_the_connection and not (plain and name == b"accept-encoding"):
            lines.append(b"%b: %b" % (allowed[name], value))
    if plain:
        lines.append(b"Accept-Encoding: identity")  # or a Go transport on the way adds gzip of its own
    if user_agent := head.value(b"user-agent"):
        lines.append(b"User-Agent: " + _printable(user_agent[:_MAX_USER_AGENT_BYTES]))
    if upgrade and (protocols := _websocket_protocols(head.headers)):
        lines.append(b"Sec-WebSocket-Protocol: " + protocols)
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.content_length is not None:
        lines.append(b"Content-Length: %d" % head.content_length)
    return b"\r\n".join(lines) + b"\r\n" + VIA + b"\r\n"


def _websocket_protocols(headers: Headers) -> bytes:
    """The protocols offered, without a credential in a protocol's clothes."""
    offered = b",".join(value for name, value in headers if name == b"sec-websocket-protocol").split(b",")
    kept = [protocol.strip() for protocol in offered if protocol.strip()]
    return b", ".join(p for p in kept if not p.lower().startswith(_BEARER_PROTOCOL))


def _printable(value: bytes) -> bytes:
    return bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in value)
