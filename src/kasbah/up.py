"""`kasbah up`: hub and kas in one process, on one machine, with one public surface.

The only file above the wings. Everything persistent lies in one directory; two processes never share it. kas asks the
hub through the same client it uses between machines, in process; the hub tells kas of pushes through its one door.
Addresses are taken before anything is written, so a start that cannot succeed changes nothing.
Started by the command line with `python -m kasbah.up`; its flags are explained there.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import shlex
import signal
import ssl
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import structlog

from kasbah import __version__
from kasbah.errors import KasbahError, PeerError, UserError
from kasbah.hub.app import HubApp, HubSettings, create_app
from kasbah.hub.kas_client import GitPushEvent, KasClient
from kasbah.kas.agent_configuration.settings import Settings as AgentConfigurationSettings
from kasbah.kas.app import Kas, KasSettings
from kasbah.kas.http_server.router import AGENT_PATH, PROXY_PREFIX
from kasbah.kas.http_server.server import Listen, make_tls_context
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kit import local_ca, logs, loop, private_file, shared_secret
from kasbah.kit.listening import Address, Bound, bound, parse_address
from kasbah.kit.secrets import Secret, scrub
from kasbah.kit.tasks import alongside

_log = structlog.get_logger()

EXIT_FAILED: Final = 1
EXIT_UNUSABLE: Final = 2
GITLAB_API_VERSION: Final = "18.6.1"
"""The level of GitLab's API that clients may rely on: Terraform and glab choose their calls by it."""
OBSERVABILITY_DEFAULT: Final = Address(host="127.0.0.1", port=8151)
"""GitLab's kas listens there, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """The flags of `kasbah up`, read and checked."""

    data: Path
    """Where everything persistent lies."""
    http: Address
    """The public surface without TLS."""
    https: Address
    """The same surface with TLS; kubectl needs this one."""
    grpc: Address
    """Where agents may dial too; WebSockets for now."""
    observability: Address | None = None
    """Where `/metrics`, `/liveness` and `/readiness` are; None: the default address, if it is free."""
    external_url: str = ""
    """What people and agents use when it is not the https address."""
    tls_cert: Path | None = None
    """A certificate with its chain (PEM), instead of the local authority's."""
    tls_key: Path | None = None
    """Its key."""
    hostnames: tuple[str, ...] = ()
    """More names and addresses for the local authority's certificate."""
    database_url: Secret | None = None
    """PostgreSQL instead of SQLite; read from KASBAH_DATABASE_URL, because it holds a password."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Addresses:
    """Those of the settings, bound."""

    http: Bound
    https: Bound
    grpc: Bound
    observability: Bound | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicUrls:
    """Where we are found from outside."""

    http: str
    https: str
    grpc: str
    external: str
    """What links are built from."""
    kas_address: str
    """What agentk is given."""
    k8s_proxy: str
    """What kubectl is given."""


def main() -> None:
    """Run until SIGTERM or SIGINT, which drain; a second signal does not wait."""
    logs.configure()
    try:
        settings = parse(sys.argv[1:], os.environ)
        with _bind(settings) as addresses, _own(settings.data):
            code = run(settings, addresses)
    except KasbahError as error:
        _say(str(error))
        code = EXIT_UNUSABLE if isinstance(error, UserError) else EXIT_FAILED
    sys.exit(code)


def run(settings: UpSettings, addresses: _Addresses) -> int:
    """Serve until told to stop; the exit code."""
    code = 0
    try:
        loop.run(_serve(settings, addresses))
    except* UserError as group:
        code = _report(group, EXIT_UNUSABLE)
    except* (KasbahError, OSError) as group:
        code = _report(group, EXIT_FAILED)
    return code


def parse(arguments: Sequence[str], environ: MutableMapping[str, str]) -> UpSettings:
    """Read the flags; what is secret is taken out of the environment, so that no child inherits it.

    Raises:
        UserError: an address is not one, or a certificate comes without its key.
    """
    parser = argparse.ArgumentParser(prog="kasbah up", description="hub and kas in one process")
    parser.add_argument("--data", type=Path, default=Path("kasbah-data"))
    parser.add_argument("--http", default="127.0.0.1:8080")
    parser.add_argument("--https", default="127.0.0.1:8443")
    parser.add_argument("--grpc", default="127.0.0.1:8150")
    parser.add_argument("--observability")
    parser.add_argument("--external-url", default="")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--hostname", action="append", default=[])
    flags = parser.parse_args(arguments)
    if (flags.tls_cert is None) != (flags.tls_key is None):
        raise UserError("--tls-cert and --tls-key belong together: give both or neither")
    database_url = environ.pop("KASBAH_DATABASE_URL", "")
    return UpSettings(
        data=flags.data.absolute(),
        http=_address("--http", flags.http),
        https=_address("--https", flags.https),
        grpc=_address("--grpc", flags.grpc),
        observability=_address("--observability", flags.observability) if flags.observability else None,
        external_url=flags.external_url.rstrip("/"),
        tls_cert=flags.tls_cert,
        tls_key=flags.tls_key,
        hostnames=tuple(flags.hostname),
        database_url=Secret(database_url) if database_url else None,
    )


def _address(flag: str, text: str) -> Address:
    try:
        return parse_address(text)
    except UserError as error:
        raise UserError(f"{flag}: {error}") from error


@contextmanager
def _bind(settings: UpSettings) -> Iterator[_Addresses]:
    with ExitStack() as stack:

        def take(flag: str, address: Address) -> Bound:
            try:
                return stack.enter_context(bound(address))
            except OSError as error:
                why = (error.strerror or str(error)).partition(" (")[0]
                raise PeerError(
                    f"{flag} {address}: {why}; stop what listens there, or give another HOST:PORT"
                ) from error

        yield _Addresses(
            http=take("--http", settings.http),
            https=take("--https", settings.https),
            grpc=take("--grpc", settings.grpc),
            observability=take("--observability", settings.observability)
            if settings.observability
            else _default_observability(stack),
        )


def _default_observability(stack: ExitStack) -> Bound | None:
    """The default address, which a second process on this machine does without."""
    try:
        return stack.enter_context(bound(OBSERVABILITY_DEFAULT))
    except OSError:
        _log.warning("observability address is taken, going on without", address=str(OBSERVABILITY_DEFAULT))
        return None


@contextmanager
def _own(data: Path) -> Iterator[None]:
    """Make the directory and keep every other process out of it."""
    try:
        private_file.make_directory(data)
        lock = (data / "lock").open("w")
    except OSError as error:
        raise UserError(
            f"--data {data} cannot be written: {error.strerror}; give another directory"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another `kasbah up` uses {data}; stop it, or give another --data") from error
        yield


class _PushesLater:
    """The hub's door to kas while kas is being composed; kas needs the hub first."""

    kas: Kas | None = None

    async def git_push(self, event: GitPushEvent) -> None:
        if self.kas is not None:
            await self.kas.pushes.git_push(event)


async def _serve(settings: UpSettings, addresses: _Addresses) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stop)
    tls, ca_file = _certificate(settings)
    kas_secret = shared_secret.ensure(settings.data / "kas-secret")
    urls = _urls(addresses, settings.external_url)
    pushes = _PushesLater()
    hub = _hub(settings, urls, kas_secret, pushes)
    kas_settings = KasSettings(
        listens=(_listen(addresses.http), _listen(addresses.https, tls), _listen(addresses.grpc)),
        version=__version__,
        observability=_listen(addresses.observability) if addresses.observability else None,
        agent_configuration=AgentConfigurationSettings(gitlab_external_url=urls.external),
        kubernetes_api=KubernetesApiSettings(external_origin=urls.external),
    )
    transport = httpx2.ASGITransport(hub.asgi, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://hub") as hub_http:
        kas = pushes.kas = Kas(kas_settings, hub_http, shared_secret.decode(kas_secret), hub.asgi)
        hub_ready = asyncio.Event()
        async with alongside(hub.run(hub_ready.set)):
            await hub_ready.wait()
            await kas.run(stop, lambda: _announce(settings.data, urls, ca_file))
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
        ),
        kas,
    )


def _listen(at: Bound, tls: ssl.SSLContext | None = None) -> Listen:
    return Listen(host=at.address.host, port=at.address.port, tls=tls, sockets=at.sockets)


def _certificate(settings: UpSettings) -> tuple[ssl.SSLContext, Path | None]:
    """The context for https, and the authority clients must be given, when it is ours."""
    if settings.tls_cert is not None and settings.tls_key is not None:
        try:
            return make_tls_context(str(settings.tls_cert), str(settings.tls_key)), None
        except OSError as error:
            raise UserError(f"cannot use --tls-cert {settings.tls_cert}: {error}") from error
    named = [address.host for address in (settings.http, settings.https) if not address.is_every_host]
    files = local_ca.ensure_local_ca(settings.data, [*settings.hostnames, *named])
    return make_tls_context(str(files.certificate), str(files.key)), files.ca_certificate


def _urls(addresses: _Addresses, external_url: str) -> PublicUrls:
    http, https = f"http://{addresses.http.address}", f"https://{addresses.https.address}"
    external = external_url or https
    agents = external_url or http  # agentk on this machine needs no certificate authority then
    return PublicUrls(
        http=http,
        https=https,
        grpc=f"grpc://{addresses.grpc.address}",
        external=external,
        kas_address=agents.replace("http", "ws", 1) + AGENT_PATH.decode(),
        k8s_proxy=external + PROXY_PREFIX.decode(),
    )


def _announce(data: Path, urls: PublicUrls, ca_file: Path | None) -> None:
    """One JSON line on stdout: scripts wait for it. A person gets the next command."""
    line = {
        "http": urls.http,
        "https": urls.https,
        "grpc": urls.grpc,
        "kas_address": urls.kas_address,
        "k8s_proxy": urls.k8s_proxy,
        "ca_file": str(ca_file or ""),
        "root_token_file": str(data / "root-token"),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    _log.info("ready", url=urls.external)
    if sys.stderr.isatty():
        sys.stderr.write(f"\nReady. Next, in another terminal:\n\n  {login_command(data, urls, ca_file)}\n\n")


def login_command(data: Path, urls: PublicUrls, ca_file: Path | None) -> str:
    """The command to type next."""
    words = ["kasbah", "login", "--url", urls.external, "--token-file", str(data / "root-token")]
    return shlex.join([*words, "--ca-file", str(ca_file)] if ca_file else words)


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
