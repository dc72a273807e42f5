"""The WebSocket handshake with kas, and which tunnel it ends in.

Redirects are not followed. The agent token is not part of the handshake: it is said inside the tunnel, once the far
end has shown that it is kas.
"""

from __future__ import annotations

from typing import Final

from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.errors import PeerError
from kasbah.wire.websocket import GRPC_SUBPROTOCOL, NATIVE_SUBPROTOCOL, accept_key

_OFFERS: Final = {
    TunnelChoice.AUTO: (NATIVE_SUBPROTOCOL, GRPC_SUBPROTOCOL),
    TunnelChoice.NATIVE: (NATIVE_SUBPROTOCOL,),
    TunnelChoice.GRPC: (GRPC_SUBPROTOCOL,),
}


def request(settings: ReverseTunnelSettings, key: bytes, user_agent: str) -> bytes:
    """The request's head; `key` is the `Sec-WebSocket-Key`."""
    address = settings.address
    lines = [
        f"GET {address.target} HTTP/1.1",
        f"Host: {address.authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {', '.join(_OFFERS[settings.tunnel])}",
        f"User-Agent: {user_agent}",
        *(f"{name}: {value}" for name, value in settings.headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chosen_tunnel(head: bytes, key: bytes, settings: ReverseTunnelSettings) -> TunnelChoice:
    """What the far end's answer says: `NATIVE` or `GRPC`.

    Raises:
        PeerError: it refuses, is not for us, or chose nothing that was offered.
    """
    lines = head.split(b"\r\n")
    status = lines[0].decode(errors="replace")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])
    }
    if not status.startswith("HTTP/1.1 101"):
        raise PeerError(f"kas refused the WebSocket: {status[:128]}", retryable=True)
    if headers.get(b"sec-websocket-accept") != accept_key(key):
        raise PeerError("the answer to the WebSocket handshake is not for us", retryable=True)
    chosen = headers.get(b"sec-websocket-protocol", b"").decode(errors="replace")
    offered = _OFFERS[settings.tunnel]
    if chosen not in offered:
        raise PeerError(
            f"the far end chose {chosen[:32] or 'no subprotocol'} and not {' or '.join(offered)}: check that "
            "--kas-address leads to kas (its path, too), that proxies pass Sec-WebSocket-Protocol, and that "
            "--kas-tunnel is auto",
            retryable=True,
        )
    return TunnelChoice.NATIVE if chosen == NATIVE_SUBPROTOCOL else TunnelChoice.GRPC
