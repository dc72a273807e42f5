"""What an API server would see of a request that kas passed on: agentk's own last step, and a plain reading of its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from kasbah.agentk.kubernetes_api.upstream_request import Credentials, RequestBuilder
from kasbah.kit.secrets import Secret
from kasbah.wire.identity import AsAgent

AUTHORITY = "api.cluster:6443"
AGENTS_TOKEN = "the-agents-own"

_builder = RequestBuilder(
    Credentials(authority=AUTHORITY, authorization=Secret(f"Bearer {AGENTS_TOKEN}"), identity=AsAgent())
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRequest:
    """One request at the API server."""

    line: bytes
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in the order they came."""

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    @property
    def identity(self) -> list[tuple[str, str]]:
        """Everything that says who asks, other than the agent's own token."""
        return [(key, value) for key, value in self.headers if key.startswith(("impersonate-", "x-remote-"))]


def seen_of(opening: bytes) -> SeenRequest:
    """The request that this opening of a stream becomes.

    Raises:
        RefusedRequestError: agentk does not send it.
    """
    line, *lines = _builder.build(opening).head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    pairs = [each.decode("latin-1").partition(":") for each in lines]
    return SeenRequest(line=line, headers=tuple((name.lower(), value.strip()) for name, _, value in pairs))
