"""From the opening of a stream to the bytes that go to the API server.

Pure, so the answer can be remembered. kas has cleaned the head; here it is checked again with a closed mind, because
this is the last line before the cluster: nothing of the client may name an identity, a credential, a host or the
connection. What agentk adds comes after, and the identity comes last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from kasbah.errors import PeerError
from kasbah.kit.secrets import Secret
from kasbah.wire.identity import AsAgent, Identity, impersonation_headers
from kasbah.wire.kubernetes_api import RequestEnvelope, decode_opening
from kasbah.wire.stream import ResetCode

CHUNKED: Final = -1
"""`UpstreamRequest.body`: as long as it gets."""
NESTED_IMPERSONATION: Final = (
    "nested impersonation is not supported - agent is already configured to impersonate an identity"
)
MAX_HEAD_BYTES: Final = 96 * 1024
_CACHED_OPENING_BYTES: Final = 4096

_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) (/[\x21\x22\x24-\x7e]*) HTTP/1\.1")
_HEADER_LINE = re.compile(rb"([A-Za-z0-9-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_FORBIDDEN: Final = frozenset(
    {
        b"authorization",
        b"connection",
        b"cookie",
        b"host",
        b"keep-alive",
        b"te",
        b"trailer",
        b"upgrade",
    }
)
_FORBIDDEN_FAMILIES: Final = (b"impersonate-", b"x-remote-", b"proxy-")
_UPGRADES: Final = frozenset({"websocket", "SPDY/3.1"})
_NOT_EXCHANGES: Final = frozenset({b"CONNECT", b"TRACE"})
"""After the first a connection is no HTTP any more, and it goes back to the others; the second tells what agentk adds."""
_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class RefusedRequestError(PeerError):
    """agentk does not send this to the API server."""

    def __init__(self, code: ResetCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What agentk adds to every request."""

    authority: str
    base_path: str = ""
    authorization: Secret | None = None
    identity: Identity
    """Whom agentk itself impersonates, by its own configuration."""


class UpstreamRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request as the API server will see it, but for its stamp."""

    agent_id: int
    head: bytes
    body: int
    """Bytes of body, or CHUNKED."""
    bodiless_answer: bool
    upgrade: bytes
    """The token in lower case, or empty."""
    repeatable: bool
    """Sending it twice does no more than sending it once."""
    deadline_s: float
    """How long the answer's head may take; 0 for ever."""

    def __repr__(self) -> str:
        return f"UpstreamRequest(agent_id={self.agent_id}, head=***, body={self.body})"


class RequestBuilder:
    """Builds requests with one set of credentials, and remembers what it built."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._remembered = lru_cache(maxsize=1024)(self._build)

    def build(self, opening: bytes) -> UpstreamRequest:
        """The request that an opening asks for; without its stamp the same opening comes again and again.

        Raises:
            RefusedRequestError: it may not be sent.
        """
        return self._remembered(opening) if len(opening) <= _CACHED_OPENING_BYTES else self._build(opening)

    def _build(self, opening: bytes) -> UpstreamRequest:
        try:
            envelope, head = decode_opening(opening)
        except PeerError as error:
            raise RefusedRequestError(ResetCode.PROTOCOL, str(error)) from error
        if len(head) > MAX_HEAD_BYTES or not head.endswith(b"\r\n\r\n"):
            raise _broken("its head does not end, or is too long")
        first, *lines = head[:-4].split(b"\r\n")
        if (match := _REQUEST_LINE.fullmatch(first)) is None:
            raise _broken("its request line is malformed")
        if match[1] in _NOT_EXCHANGES:
            raise RefusedRequestError(
                ResetCode.FORBIDDEN, f"a request from kas may not have the method {match[1].decode()}"
            )
        body = _check_headers(lines)
        if envelope.upgrade and envelope.upgrade not in _UPGRADES:
            raise _broken("it asks for an unknown upgrade")
        method = match[1]
        return UpstreamRequest(
            agent_id=envelope.agent_id,
            head=self._head(method, match[2], lines, envelope),
            body=body,
            bodiless_answer=method == b"HEAD",
            upgrade=envelope.upgrade.lower().encode(),
            repeatable=method in _REPEATABLE and body == 0 and not envelope.upgrade,
            deadline_s=envelope.deadline_ms / 1000,
        )

    def _head(self, method: bytes, target: bytes, lines: list[bytes], envelope: RequestEnvelope) -> bytes:
        credentials = self._credentials
        head = [
            b"%b %b%b HTTP/1.1" % (method, credentials.base_path.encode(), target),
            b"Host: " + credentials.authority.encode(),
            *lines,
        ]
        if envelope.upgrade:
            head += [b"Connection: Upgrade", b"Upgrade: " + envelope.upgrade.encode()]
        if credentials.authorization is not None:
            head.append(b"Authorization: " + credentials.authorization.reveal().encode())
        head += [b"%b: %b" % header for header in impersonation_headers(self._identity(envelope.identity))]
        return b"\r\n".join(head) + b"\r\n\r\n"

    def _identity(self, asked: Identity) -> Identity:
        own = self._credentials.identity
        if isinstance(own, AsAgent):
            return asked
        if isinstance(asked, AsAgent):
            return own
        raise RefusedRequestError(ResetCode.FORBIDDEN, NESTED_IMPERSONATION)


def _check_headers(lines: list[bytes]) -> int:
    """The length of the body; refuses what only agentk may say."""
    lengths: list[int] = []
    for line in lines:
        if (match := _HEADER_LINE.fullmatch(line)) is None:
            raise _broken("a header line is malformed")
        name, value = match[1].lower(), match[2]
        if name in _FORBIDDEN or name.startswith(_FORBIDDEN_FAMILIES):
            raise RefusedRequestError(
                ResetCode.FORBIDDEN, f"a request from kas may not carry the header {name.decode()}"
            )
        if name == b"content-length":
            if _LENGTH.fullmatch(value) is None:
                raise _broken("its Content-Length is not a number")
            lengths.append(int(value))
        elif name == b"transfer-encoding":
            if value != b"chunked":
                raise _broken("its Transfer-Encoding is not chunked")
            lengths.append(CHUNKED)
    if len(lengths) > 1:
        raise _broken("it says twice how long its body is")
    return lengths[0] if lengths else 0


def _broken(why: str) -> RefusedRequestError:
    return RefusedRequestError(ResetCode.PROTOCOL, f"a request from kas cannot be read: {why}")
