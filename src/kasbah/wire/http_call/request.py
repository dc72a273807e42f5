"""A request's head: the opening of a stream as the first message of a call, and back. Pure; small ones are remembered."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec
from google.protobuf.message import DecodeError

from kasbah.wire.automaton import Walk
from kasbah.wire.http_call.automaton import HTTP_REQUEST
from kasbah.wire.http_call.headers import MAX_HEADER_MESSAGE_BYTES, header_lines, header_map, values_of
from kasbah.wire.http_call.impersonation import (
    acting,
    extra_of,
    identity_of_extra,
    names_of_identities,
)
from kasbah.wire.http_call.targets import decode_target, encode_target
from kasbah.wire.identity import AsAgent, Identity
from kasbah.wire.kubernetes_api import RequestEnvelope, decode_opening, encode_envelope
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpRequest as RequestHead
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import RpcError, StatusCode

UNKNOWN_LENGTH: Final = -1
_REMEMBERED_BYTES: Final = 4096
_REMEMBERED: Final = 1024
_UPGRADES: Final = {"websocket": "websocket", "spdy/3.1": "SPDY/3.1"}
_USUALLY_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
# `Expect` is between the client and kas; the length has a field of its own.
_DROPPED: Final = frozenset({"content-length", "expect"})


class SentRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A head on its way out."""

    message: bytes
    """The `HttpRequest` with the header, serialized."""
    upgrade: bool


class ReceivedRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A head that came in."""

    opening: bytes
    """As `wire.kubernetes_api` has it."""
    upgrade: str
    """The protocol asked for, or empty."""
    content_length: int
    """Bytes of body, or UNKNOWN_LENGTH."""


def message_of(opening: bytes) -> SentRequest:
    """The first message of a call that carries this request.

    Raises:
        PeerError: GitLab's wire cannot carry it.
    """
    return _message_remembered(opening) if len(opening) <= _REMEMBERED_BYTES else _message(opening)


def opening_of(message: bytes, agent_id: int) -> ReceivedRequest:
    """The request that the first message of a call asks for, as one for this agent.

    Raises:
        RpcError: it is no header, cannot be read in one way only, or may not be sent.
    """
    if len(message) <= _REMEMBERED_BYTES:
        return _opening_remembered(message, agent_id)
    return _opening(message, agent_id)


def _message(opening: bytes) -> SentRequest:
    envelope, head = decode_opening(opening)
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, _, rest = first.partition(b" ")
    path, query = decode_target(rest.rpartition(b" ")[0])
    headers = header_map(lines)
    content_length = _sent_length(headers)
    if envelope.upgrade:
        headers["Upgrade"] = Values(value=[envelope.upgrade])
        headers["Connection"] = Values(value=["upgrade"])
    message = HttpRequest(
        header=HttpRequest.Header(
            request=RequestHead(method=method.decode(), header=headers, url_path=path, query=query),
            extra=extra_of(envelope.identity),
            content_length=content_length,
        )
    )
    return SentRequest(message=message.SerializeToString(), upgrade=bool(envelope.upgrade))


def _sent_length(headers: dict[str, Values]) -> int:
    """What the head says about the body; 0 is said, too, or a chunked body would be made of none."""
    length = headers.pop("Content-Length", None)
    if headers.pop("Transfer-Encoding", None) is not None:
        return UNKNOWN_LENGTH
    return int(length.value[0]) if length is not None else 0


def _opening(message: bytes, agent_id: int) -> ReceivedRequest:
    header = _header(message)
    request, upgrades = header.request, values_of(header.request.header, "upgrade")
    upgrade = _UPGRADES.get(upgrades[0].lower(), upgrades[0]) if len(upgrades) == 1 else ", ".join(upgrades)
    content_length = _received_length(header, upgrade=bool(upgrade))
    identity, dropped = _identity(header), _DROPPED
    if names := names_of_identities(request.header):
        identity, dropped = acting(identity, request.header), _DROPPED | names
    lines = header_lines(request.header, dropped)
    if not values_of(request.header, "accept-encoding"):
        lines.append("Accept-Encoding: identity")
    if content_length == UNKNOWN_LENGTH:
        lines.append("Transfer-Encoding: chunked")
    elif content_length or request.method in _USUALLY_WITH_BODY:
        lines.append(f"Content-Length: {content_length}")
    head = "\r\n".join(
        [f"{request.method} {encode_target(request.url_path, request.query)} HTTP/1.1", *lines]
    )
    envelope = RequestEnvelope(agent_id=agent_id, grant_id="", identity=identity, upgrade=upgrade)
    opening = encode_envelope(envelope) + head.encode() + b"\r\n\r\n"
    return ReceivedRequest(opening=opening, upgrade=upgrade, content_length=content_length)


def _identity(header: HttpRequest.Header) -> Identity:
    return identity_of_extra(header.extra) if header.HasField("extra") else AsAgent()


def _header(message: bytes) -> HttpRequest.Header:
    if len(message) > MAX_HEADER_MESSAGE_BYTES:
        raise _refused(f"its header is over {MAX_HEADER_MESSAGE_BYTES} bytes")
    try:
        parsed = HttpRequest.FromString(message)
    except DecodeError as error:
        raise _refused(f"not an HttpRequest: {error}") from error
    Walk(HTTP_REQUEST).step(parsed.WhichOneof("message"))
    if not parsed.header.HasField("request"):
        raise _refused("its header holds no request")
    if not (parsed.header.request.method.isascii() and parsed.header.request.method.isalpha()):
        raise _refused("its method is not a word")
    return parsed.header


def _received_length(header: HttpRequest.Header, *, upgrade: bool) -> int:
    length = header.content_length if header.HasField("content_length") else UNKNOWN_LENGTH
    if length < UNKNOWN_LENGTH or (upgrade and length > 0):
        raise _refused("its content length is negative, or there is a body to an upgrade")
    return 0 if upgrade else length


def _refused(why: str) -> RpcError:
    return RpcError(StatusCode.INVALID_ARGUMENT, f"a request from kas cannot be read: {why}")


_message_remembered = lru_cache(maxsize=_REMEMBERED)(_message)
_opening_remembered = lru_cache(maxsize=_REMEMBERED)(_opening)
