"""One way to the API server, and the processes that are charged for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx2

from bench.nginx import SMALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Ours, nginx's, or that of a peer somebody else has started."""

    name: str
    base: str
    """The URL without the path that the API server sees."""
    pids: list[int]
    """First the process that clients talk to."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def url(self, path: str) -> str:
        return self.base + path

    def passes(self) -> bool:
        """Whether a request gets its answer on this way."""
        try:
            # Without its certificates, whose loading takes longer than what is waited for.
            with httpx2.Client(verify=False, trust_env=False) as client:
                response = client.get(self.url(SMALL), headers=dict(self.headers))
        except httpx2.TransportError:
            return False
        return response.status_code == httpx2.codes.OK
