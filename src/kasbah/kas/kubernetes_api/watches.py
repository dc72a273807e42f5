"""Opens watches, which outlive the tunnel they began on."""

from __future__ import annotations

from kasbah.kas.kubernetes_api.exchange import Tunnels
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.wire.request_policy import ProxyRequest
from kasbah.wire.stream import Stream, StreamClass, StreamHandler


class WatchOpener:
    """The way to the agents for watches."""

    def __init__(self, tunnels: Tunnels) -> None:
        self._tunnels = tunnels

    def open_nowait(
        self, grant: Grant, request: ProxyRequest, opening: bytes, handler: StreamHandler
    ) -> Stream | None:
        """A stream for this watch, or None when no tunnel of the agent is ready.

        Raises:
            PeerError: the opening is too large to travel.
        """
        del request
        return self._tunnels.open_nowait(grant, opening, StreamClass.WATCH, handler)
