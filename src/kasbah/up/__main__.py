"""The process of `kasbah up`: composes hub and kas, and serves until it is told to stop.

kas asks the hub through the same client it uses between machines, in process; the hub tells kas of pushes through its
one door.
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from contextlib import AsyncExitStack
from typing import Final

import httpx2
import structlog

from kasbah import __version__
from kasbah.errors import KasbahError, UserError
from kasbah.hub.app import HubApp, HubSettings, create_app
from kasbah.hub.kas_client import KasClient
from kasbah.kas.access_log.settings import AccessLogSettings
from kasbah.kas.agent_configuration.settings import Settings as AgentConfigurationSettings
from kasbah.kas.app import Kas, KasSettings
from kasbah.kas.audit.settings import AuditSettings
from kasbah.kas.http_server.server import Listen
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.session_recording.settings import SessionRecordingSettings
from kasbah.kit import logs, loop, shared_secret
from kasbah.kit.listening import Bound
from kasbah.kit.secrets import Secret, scrub
from kasbah.kit.tasks import alongside
from kasbah.up.certificate import ensure_certificate
from kasbah.up.flags import UpSettings, parse
from kasbah.up.ground import Addresses, bind, own
from kasbah.up.telling import Telling, remote_kas
from kasbah.up.urls import PublicUrls, announce, public_urls

_log = structlog.get_logger()

EXIT_FAILED: Final = 1
EXIT_UNUSABLE: Final = 2
GITLAB_API_VERSION: Final = "18.6.1"
"""The level of GitLab's API that clients may rely on: Terraform and glab choose their calls by it."""


def main() -> None:
    """Run until SIGTERM or SIGINT, which drain; a second signal does not wait."""
    logs.configure()
    try:
        settings = parse(sys.argv[1:], os.environ)
        with bind(settings) as addresses, own(settings.data):
            code = run(settings, addresses)
    except KasbahError as error:
        _say(str(error))
        code = EXIT_UNUSABLE if isinstance(error, UserError) else EXIT_FAILED
    sys.exit(code)


def run(settings: UpSettings, addresses: Addresses) -> int:
    """Serve until told to stop; the exit code."""
    code = 0
    try:
        loop.run(_serve(settings, addresses))
    except* UserError as group:
        code = _report(group, EXIT_UNUSABLE)
    except* (KasbahError, OSError) as group:
        code = _report(group, EXIT_FAILED)
    return code


async def _serve(settings: UpSettings, addresses: Addresses) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stop)
    tls, ca_file = ensure_certificate(settings)
    kas_secret = shared_secret.ensure(settings.data / "kas-secret")
    elsewhere = remote_kas(settings, settings.data / "kas-secret")
    urls = public_urls(addresses, settings.external_url)
    telling = Telling(elsewhere)
    hub = _hub(settings, urls, kas_secret, telling)
    kas_settings = KasSettings(
        listens=(_listen(addresses.http), _listen(addresses.https, tls), _listen(addresses.grpc)),
        version=__version__,
        observability=_listen(addresses.observability) if addresses.observability else None,
        agent_configuration=AgentConfigurationSettings(gitlab_external_url=urls.external),
        kubernetes_api=KubernetesApiSettings(external_origin=urls.external),
        session_recording=SessionRecordingSettings(
            directory=settings.record_sessions, with_input=settings.record_input
        ),
        explain_refusals=settings.explain_refusals,
        audit=_audit(settings),
        access_log=AccessLogSettings(file=settings.access_log),
    )
    transport = httpx2.ASGITransport(hub.asgi, raise_app_exceptions=False)
    async with AsyncExitStack() as stack:
        hub_http = await stack.enter_async_context(
            httpx2.AsyncClient(transport=transport, base_url="http://hub")
        )
        kas = Kas(kas_settings, hub_http, shared_secret.decode(kas_secret), hub.asgi)
        telling.here = kas.pushes
        hub_ready = asyncio.Event()
        if elsewhere is not None:
            await stack.enter_async_context(alongside(elsewhere.run()))
        await stack.enter_async_context(alongside(hub.run(hub_ready.set)))
        await hub_ready.wait()
        await kas.run(stop, lambda: announce(settings.data, urls, ca_file))
    _log.info("stopped")


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(EXIT_FAILED)  # the second signal: whoever sends it does not want to wait
    stop.set()


def _hub(settings: UpSettings, urls: PublicUrls, kas_secret: Secret, kas: KasClient) -> HubApp:
    return create_app(
        HubSettings(
            data_dir=settings.data,
            database_url=settings.database_url.reveal() if settings.database_url else None,
            kas_secret=kas_secret,
            external_url=urls.external,
            kas_external_url=urls.kas_address,
            k8s_proxy_external_url=urls.k8s_proxy,
            version=GITLAB_API_VERSION,
            audit_directory=_audit(settings).directory,
        ),
        kas,
    )


def _audit(settings: UpSettings) -> AuditSettings:
    if settings.audit == "off":
        return AuditSettings()
    return AuditSettings(directory=settings.audit_directory, reads=settings.audit == "all")


def _listen(at: Bound, tls: ssl.SSLContext | None = None) -> Listen:
    return Listen(host=at.address.host, port=at.address.port, tls=tls, sockets=at.sockets)


def _report(group: BaseExceptionGroup[BaseException], code: int) -> int:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _report(error, code)
        else:
            _say(str(error))
    return code


def _say(text: str) -> None:
    sys.stderr.write(f"kasbah up: {scrub(text)}\n")


if __name__ == "__main__":
    main()
