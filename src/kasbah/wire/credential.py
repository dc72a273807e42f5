"""The one credential of a request to the Kubernetes API proxy: read from where GitLab's clients put it, and refused
in GitLab's words.

`Bearer ci:<agent id>:<job token>`, `Bearer pat:<agent id>:<token>`, or the browser's cookie `_gitlab_kas` with agent id and
CSRF token beside it. Exactly one of them: two readers could choose differently among more. Pure; knows no Git side.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote

import msgspec

from kasbah.errors import UserError
from kasbah.wire.http1 import Headers, RequestHead

CredentialKind = Literal["ci", "pat", "session"]
QUERY_KEYS: Final = frozenset({"gitlab-agent-id", "gitlab-csrf-token"})
"""Of a target's query these are ours: they never reach a cluster."""
_COOKIE: Final = b"_gitlab_kas"
_AGENT_ID = re.compile(r"0{0,16}[1-9][0-9]{0,18}")
_MAX_AGENT_ID: Final = 2**63 - 1
_MAX_SESSION_BYTES = 4096
_MAX_CSRF_BYTES = 512


class UnreadableCredentialError(UserError):
    """There is no credential, more than one, or none of a known form; the message is GitLab's."""


class Credential(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a client shows to be let in to one agent."""

    kind: CredentialKind
    agent_id: int
    token: str
    """A job's, a person's, or a browser session's."""
    csrf_token: str = ""
    """With a session only: what a foreign page cannot know."""
    key: bytes
    """SHA-256 over all of it: what decisions about this credential are kept under."""

    def __repr__(self) -> str:
        return f"Credential(kind={self.kind!r}, agent_id={self.agent_id}, token=***)"


def read_credential(head: RequestHead) -> Credential:
    """The credential of a request.

    Raises:
        UnreadableCredentialError: there is not exactly one that can be read.
    """
    authorizations = head.values(b"authorization")
    sessions = _session_cookies(head.headers)
    if len(authorizations) > 1:
        raise UnreadableCredentialError(f"expecting a single header, got {len(authorizations)}")
    if authorizations and sessions:
        raise UnreadableCredentialError("expecting a single credential, got a header and a cookie")
    if authorizations:
        return _bearer(authorizations[0].decode("latin-1"))
    if not sessions:
        raise UnreadableCredentialError("no valid credentials provided")
    if len(sessions) > 1:
        raise UnreadableCredentialError(f"expecting a single session cookie, got {len(sessions)}")
    return _session(head, sessions[0])


def _bearer(header: str) -> Credential:
    scheme, _, value = header.partition(" ")
    if scheme != "Bearer":
        raise UnreadableCredentialError("expecting Bearer token")
    kind, _, rest = value.partition(":")
    agent, separator, token = rest.partition(":")
    if not separator:
        raise UnreadableCredentialError("Authorization header: invalid value")
    agent_id = _agent_id(agent, "Authorization header")
    if not token:
        raise UnreadableCredentialError("Authorization header: empty token")
    match kind:
        case "pat":
            return _credential("pat", agent_id, token)
        case "ci":
            return _credential("ci", agent_id, token)
        case _:
            raise UnreadableCredentialError("Authorization header: unknown token type")


def _session(head: RequestHead, cookie: str) -> Credential:
    query = parse_qsl(head.target.partition(b"?")[2].decode("latin-1"), keep_blank_values=True)
    agent = _exactly_one(head, query, "agent id", "Gitlab-Agent-Id", "gitlab-agent-id")
    csrf_token = _exactly_one(head, query, "CSRF token", "X-Csrf-Token", "gitlab-csrf-token")
    if not cookie or len(cookie) > _MAX_SESSION_BYTES or len(csrf_token) > _MAX_CSRF_BYTES:
        raise UnreadableCredentialError("the session cookie or CSRF token cannot be one")
    return _credential("session", _agent_id(agent, "agent id"), cookie, csrf_token)


def _exactly_one(head: RequestHead, query: list[tuple[str, str]], what: str, header: str, key: str) -> str:
    """The header's value or, without one, the query's."""
    given = [value.decode("latin-1") for value in head.values(header.lower().encode())]
    given = given or [value for name, value in query if name == key]
    if len(given) != 1 or not given[0]:
        raise UnreadableCredentialError(
            f'exactly one {what} must be provided either in the "{header}" header or "{key}" query parameter'
        )
    return given[0]


def _agent_id(text: str, where: str) -> int:
    if not _AGENT_ID.fullmatch(text):
        raise _not_an_id(text, where, "invalid syntax")
    agent_id = int(text)
    if agent_id > _MAX_AGENT_ID:
        raise _not_an_id(text, where, "value out of range")
    return agent_id


def _not_an_id(text: str, where: str, problem: str) -> UnreadableCredentialError:
    quoted = text[:32].encode("unicode_escape").decode()
    return UnreadableCredentialError(
        f'{where}: failed to parse: strconv.ParseInt: parsing "{quoted}": {problem}'
    )


def _session_cookies(headers: Headers) -> list[str]:
    """The values of our cookie, URL-decoded once."""
    found = []
    for name, value in headers:
        if name == b"cookie" and _COOKIE in value:
            for pair in value.split(b";"):
                key, equals, content = pair.strip(b" \t").partition(b"=")
                if equals and key == _COOKIE:
                    found.append(unquote(content.decode("latin-1")))
    return found


def _credential(kind: CredentialKind, agent_id: int, token: str, csrf_token: str = "") -> Credential:
    whole = b"%b\0%d\0%b\0%b" % (kind.encode(), agent_id, token.encode(), csrf_token.encode())
    key = hashlib.sha256(whole).digest()
    return Credential(kind=kind, agent_id=agent_id, token=token, csrf_token=csrf_token, key=key)
