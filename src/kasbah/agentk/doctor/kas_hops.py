"""The looks on the way to kas, up to the handshake."""

from __future__ import annotations

import base64
import secrets
import ssl
from datetime import UTC, datetime
from typing import Final

from kasbah.agentk.doctor import handshake
from kasbah.agentk.reverse_tunnel import websocket_handshake
from kasbah.agentk.reverse_tunnel.address import KasAddress, find_proxy
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.kit import http_proxy
from kasbah.kit.doctor import certificate, clock
from kasbah.kit.doctor.certificate import Trust
from kasbah.kit.doctor.check import Check, FaultError, Finding
from kasbah.kit.doctor.link import Answer, Exchange, needs_tls
from kasbah.kit.doctor.way import Way

_UPGRADES: Final = frozenset({404, 200, 400, 405})
"""What servers answer at kas' path when they see no upgrade."""
_REMEDY: Final = "give its PEM to agentk with --kas-ca-cert-file"


class KasHops:
    """Everything before the tunnel itself."""

    def __init__(
        self, settings: ReverseTunnelSettings, context: ssl.SSLContext | None, user_agent: str
    ) -> None:
        self._settings = settings
        self._user_agent = user_agent
        self._server = ""
        self._way = way_to_kas(settings, context)

    def checks(self) -> list[Check]:
        """In order; the tunnel needs the last one, `last`."""
        address = self._settings.address
        found = [
            Check(name="kas.address", doing="read the address of kas", look=self._look_at_address),
            *self._way.checks("kas.address"),
        ]
        if not address.grpc:
            doing = f"WebSocket handshake at {address.target}"
            found += [
                Check(
                    name="kas.clock",
                    doing="compare clocks",
                    look=self._look_at_clock,
                    needs=(self._way.last,),
                ),
                Check(name="kas.websocket", doing=doing, look=self._shake_hands, needs=(self._way.last,)),
                Check(
                    name="kas.version",
                    doing="version of kas",
                    look=self._look_at_version,
                    needs=("kas.websocket",),
                ),
            ]
        return found

    @property
    def last(self) -> str:
        return self._way.last if self._settings.address.grpc else "kas.websocket"

    async def _look_at_address(self) -> Finding:
        address = self._settings.address
        kind = "gRPC" if address.grpc else f"a WebSocket at {address.target}"
        return Finding(seen=f"{address.host_port}, {kind}, {'with' if address.tls else 'without'} TLS")

    async def _look_at_clock(self) -> Finding:
        try:
            answer = await self._way.ask(self._plain_request(self._settings.address.target))
        except FaultError:  # the handshake meets it, too, and says more
            answer = Answer()
        if "date" not in answer.headers:
            return Finding(seen="nobody on the way says the time")
        server = answer.headers.get("server", "the server")
        return clock.compare(answer.headers["date"], datetime.now(UTC), server)

    async def _shake_hands(self) -> Finding:
        key = base64.b64encode(secrets.token_bytes(16))
        async with self._way.open() as link:
            request = websocket_handshake.request(self._settings, key, self._user_agent)
            try:
                answer = await Exchange(link).whole(request)
            except FaultError as silence:
                if not self._settings.address.tls and await self._way.speaks_tls():
                    raise needs_tls("the port speaks TLS, and the address says it does not") from silence
                raise
        self._server = answer.headers.get("server", "")
        try:
            choice = handshake.judge(answer, _head_of(answer), key, self._settings)
        except FaultError as refusal:
            raise await self._explain(refusal, answer) from refusal
        tunnel = "the native tunnel" if choice is TunnelChoice.NATIVE else "gRPC within the WebSocket"
        return Finding(seen=f"{answer.who} takes the WebSocket and chooses {tunnel}")

    async def _explain(self, refusal: FaultError, answer: Answer) -> FaultError:
        target = self._settings.address.target
        if answer.status not in _UPGRADES or refusal.fault == "http-needs-tls":
            return refusal
        here, usual = [
            await self._way.ask(self._plain_request(f"{path.rstrip('/')}/k8s-proxy/version"))
            for path in (target.partition("?")[0], handshake.KAS_PATH)
        ]
        return handshake.elsewhere(refusal, answer, target, here=here, usual=usual)

    async def _look_at_version(self) -> Finding:
        return handshake.version(self._server)

    def _plain_request(self, target: str) -> bytes:
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {self._settings.address.authority}",
            f"User-Agent: {self._user_agent}",
            "Accept: application/json",
            "Connection: close",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _head_of(answer: Answer) -> bytes:
    """The head anew, for the reader that agentk itself uses."""
    lines = [
        f"HTTP/1.1 {answer.status} {answer.reason}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    return "\r\n".join(lines).encode()


def way_to_kas(settings: ReverseTunnelSettings, context: ssl.SSLContext | None) -> Way:
    """The hops below the handshake, as agentk takes them."""
    address = settings.address
    own = certificate.authorities_of(context) if context is not None and settings.ca_file else ()
    return Way(
        name="kas",
        host=address.host,
        port=address.port,
        context=context,
        server_name=settings.tls_server_name or address.host,
        trust=Trust(remedy=_REMEDY, authorities=own),
        proxy=find_proxy(address, settings.proxy),
        proxy_says=_proxy_says(address, settings),
        protocol="h2" if address.grpc else "",
    )


def _proxy_says(address: KasAddress, settings: ReverseTunnelSettings) -> str:
    proxies = settings.proxy
    if address.tls or address.grpc:
        name = "HTTP_PROXY" if not address.tls and not proxies.https_proxy else "HTTPS_PROXY"
        given = bool(proxies.https_proxy) or (address.grpc and not address.tls and bool(proxies.http_proxy))
    else:
        name, given = "HTTP_PROXY", bool(proxies.http_proxy)
    if not given:
        return f"{name} is not set"
    if http_proxy.is_excluded(address.host, address.port, proxies.no_proxy):
        return f"{name} is set, but NO_PROXY (or being this machine) excludes {address.host}"
    return f"because of {name}"
