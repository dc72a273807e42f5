"""The module behind the probes: listens, and sets the log level by the configuration.

Readiness is whether a tunnel to kas is up; liveness is only that the loop turns, because a restart brings back nothing
that a reconnect would not.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kasbah.agentk.module import LatestValue
from kasbah.agentk.observability.responder import Answer, Responder
from kasbah.agentk.settings import ObservabilitySettings
from kasbah.errors import UserError
from kasbah.kit import logs
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration, log_level_enum

_log = structlog.get_logger()

_FAMILIES: Final = {"tcp": socket.AF_UNSPEC, "tcp4": socket.AF_INET, "tcp6": socket.AF_INET6}
_LEVELS: Final[dict[int, logs.Level]] = {
    log_level_enum.info: "info",
    log_level_enum.debug: "debug",
    log_level_enum.warn: "warn",
    log_level_enum.error: "error",
}


class Observability:
    """Probes, metrics and the log level."""

    name = "observability"
    leader_only = False

    def __init__(self, settings: ObservabilitySettings, why_not_ready: Callable[[], str]) -> None:
        """Args:
        settings: where to listen.
        why_not_ready: empty when the agent is ready, else what it lacks.
        """
        self._settings = settings
        self._why_not_ready = why_not_ready
        self._level: logs.Level = "info"

    def validate(self, configuration: AgentConfiguration) -> None:
        if configuration.observability.logging.level not in _LEVELS:
            raise UserError("observability.logging.level must be one of info, debug, warn, error")

    async def run(self, configurations: LatestValue[AgentConfiguration]) -> None:
        async with self._listening():
            async for configuration in configurations:
                self._set_level(_LEVELS[configuration.observability.logging.level])

    def _set_level(self, level: logs.Level) -> None:
        if level != self._level:
            self._level = level
            logs.configure(level)
            _log.info("log level set", level=level)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        connections: set[Responder] = set()
        routes = {b"/liveness": Answer, b"/readiness": self._readiness, b"/metrics": _metrics}
        server = await self._listen(lambda: Responder(routes, connections))
        try:
            yield
        finally:
            if server is not None:
                server.close()

    async def _listen(self, factory: Callable[[], Responder]) -> asyncio.Server | None:
        settings = self._settings
        try:
            server = await _bind(settings, factory)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and not settings.address_given:
                _log.warning(
                    "observability port is taken, going on without probes and metrics",
                    address=settings.address,
                    hint="choose another with --observability-listen-address",
                )
                return None
            raise UserError(
                f"cannot listen on --observability-listen-address={settings.address}: {error.strerror or error}"
            ) from error
        _log.info("observability listens", address=_bound_address(server, settings))
        return server

    def _readiness(self) -> Answer:
        reason = self._why_not_ready()
        return Answer(status=500, body=reason.encode()) if reason else Answer()


def _metrics() -> Answer:
    return Answer(body=generate_latest(), content_type=CONTENT_TYPE_LATEST)


async def _bind(settings: ObservabilitySettings, factory: Callable[[], Responder]) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    context = _context(settings)
    if settings.network == "unix":
        return await loop.create_unix_server(factory, settings.address, ssl=context)
    host, port = split_address(settings.address)
    family = _FAMILIES[settings.network]
    return await loop.create_server(factory, host, port, family=family, ssl=context, reuse_address=True)


def split_address(address: str) -> tuple[str | None, int]:
    """`HOST:PORT`, `[HOST]:PORT` or `:PORT`; no host means every interface.

    Raises:
        UserError: it is none of these.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UserError(f"--observability-listen-address={address} must look like HOST:PORT or :PORT")
    return host.strip("[]") or None, int(port)


def _bound_address(server: asyncio.Server, settings: ObservabilitySettings) -> str:
    if settings.network == "unix" or not server.sockets:
        return settings.address
    host, port = server.sockets[0].getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _context(settings: ObservabilitySettings) -> ssl.SSLContext | None:
    if settings.certificate_file is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
    except (ssl.SSLError, OSError) as error:
        raise UserError(f"--observability-cert-file and its key cannot be used: {error}") from error
    return context
