"""`kasbah up`: hub and kas in one process, on one machine, with one public surface.

The only file above the wings. Everything persistent lies in one directory; two processes never share it. kas asks the
hub through the same client it uses between machines, in process; the hub tells kas of pushes through its one door.
Started by the command line with `python -m kasbah.up`; its flags are explained there.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import fcntl
import json
import os
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import structlog

from kasbah import __version__
from kasbah.errors import KasbahError, UserError
from kasbah.hub.app import HubSettings, create_app
from kasbah.hub.kas_client import GitPushEvent
from kasbah.kas.agent_configuration.settings import Settings as AgentConfigurationSettings
from kasbah.kas.app import Kas, KasSettings
from kasbah.kas.http_server.server import Listen, make_tls_context
from kasbah.kit import local_ca, logs, loop, private_file
from kasbah.kit.secrets import Secret, scrub
from kasbah.kit.tasks import alongside

_log = structlog.get_logger()

EXIT_FAILED = 1
EXIT_UNUSABLE = 2
GITLAB_API_VERSION = "18.6.1"
"""The level of GitLab's API that clients may rely on: Terraform and glab choose their calls by it."""
OBSERVABILITY_DEFAULT = ("127.0.0.1", 8151)
"""GitLab's kas listens there, too."""
AGENT_PATH = "/-/kubernetes-agent/"
PROXY_PATH = "/-/kubernetes-agent/k8s-proxy/"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """The flags of `kasbah up`, read and checked."""

    data: Path
    """Where everything persistent lies."""
    http: tuple[str, int]
    """The public surface without TLS."""
    https: tuple[str, int]
    """The same surface with TLS; kubectl needs this one."""
    grpc: tuple[str, int]
    """Where agents may dial too; WebSockets for now."""
    observability: tuple[str, int] | None = None
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


class _PushesLater:
    """The hub's door to kas while kas is being composed; kas needs the hub first."""

    kas: Kas | None = None

    async def git_push(self, event: GitPushEvent) -> None:
        if self.kas is not None:
            await self.kas.pushes.git_push(event)


def main() -> None:
    """Run until SIGTERM or SIGINT, which drain; a second signal does not wait."""
    logs.configure()
    try:
        settings = parse(sys.argv[1:])
        with _own(settings.data):
            sys.exit(run(settings))
    except UserError as error:
        _say(str(error))
        sys.exit(EXIT_UNUSABLE)


def run(settings: UpSettings) -> int:
    """Serve until told to stop; the exit code."""
    code = 0
    try:
        loop.run(_serve(settings))
    except* UserError as group:
        code = _report(group, EXIT_UNUSABLE)
    except* (KasbahError, OSError) as group:
        code = _report(group, EXIT_FAILED)
    return code


def parse(arguments: Sequence[str]) -> UpSettings:
    """Read the flags.

    Raises:
        UserError: an address is not one, or a certificate comes without its key.
    """
    parser = argparse.ArgumentParser(prog="kasbah up", description="hub and kas in one process")
    parser.add_argument("--data", type=Path, default=Path("kasbah-data"))
    for name, default in (
        ("http", "127.0.0.1:8080"),
        ("https", "127.0.0.1:8443"),
        ("grpc", "127.0.0.1:8150"),
    ):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--observability")
    parser.add_argument("--external-url", default="")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--hostname", action="append", default=[])
    flags = parser.parse_args(arguments)
    if (flags.tls_cert is None) != (flags.tls_key is None):
        raise UserError("--tls-cert and --tls-key belong together: give both or neither")
    database_url = os.environ.pop("KASBAH_DATABASE_URL", "")
    return UpSettings(
        data=flags.data.absolute(),
        http=_parse_address("--http", flags.http),
        https=_parse_address("--https", flags.https),
        grpc=_parse_address("--grpc", flags.grpc),
        observability=_parse_address("--observability", flags.observability) if flags.observability else None,
        external_url=flags.external_url.rstrip("/"),
        tls_cert=flags.tls_cert,
        tls_key=flags.tls_key,
        hostnames=tuple(flags.hostname),
        database_url=Secret(database_url) if database_url else None,
    )


def _parse_address(flag: str, text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"{flag} must be HOST:PORT, such as 127.0.0.1:8080, and not {text!r}")
    return host.strip("[]"), int(port)


@contextmanager
def _own(data: Path) -> Iterator[None]:
    """Make the directory and keep every other process out of it."""
    private_file.make_directory(data)
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another `kasbah up` uses {data}; stop it, or give another --data") from error
        yield


async def _serve(settings: UpSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stop)
    tls, ca_file = _certificate(settings)
    kas_secret = _kas_secret(settings.data / "kas-secret")
    urls = _urls(settings)
    pushes = _PushesLater()
    hub = create_app(
        HubSettings(
            data_dir=settings.data,
            database_url=settings.database_url.reveal() if settings.database_url else None,
            kas_secret=Secret(base64.b64encode(kas_secret).decode()),
            external_url=urls["external"],
            kas_external_url=urls["kas_address"],
            k8s_proxy_external_url=urls["k8s_proxy"],
            version=GITLAB_API_VERSION,
        ),
        pushes,
    )
    kas_settings = KasSettings(
        listens=(
            Listen(host=settings.http[0], port=settings.http[1]),
            Listen(host=settings.https[0], port=settings.https[1], tls=tls),
            Listen(host=settings.grpc[0], port=settings.grpc[1]),
        ),
        version=__version__,
        observability=_observability(settings.observability),
        agent_configuration=AgentConfigurationSettings(gitlab_external_url=urls["external"]),
    )
    transport = httpx2.ASGITransport(hub.asgi, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://hub") as hub_http:
        kas = pushes.kas = Kas(kas_settings, hub_http, kas_secret, hub.asgi)
        hub_ready = asyncio.Event()
        async with alongside(hub.run(hub_ready.set)):
            await hub_ready.wait()
            await kas.run(stop, lambda: _announce(settings, urls, ca_file))
    _log.info("stopped")


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(EXIT_FAILED)  # the second signal: whoever sends it does not want to wait
    stop.set()


def _certificate(settings: UpSettings) -> tuple[ssl.SSLContext, Path | None]:
    """The context for https, and the authority clients must be given, when it is ours."""
    if settings.tls_cert is not None and settings.tls_key is not None:
        try:
            return make_tls_context(str(settings.tls_cert), str(settings.tls_key)), None
        except OSError as error:
            raise UserError(f"cannot use --tls-cert {settings.tls_cert}: {error}") from error
    names = [*settings.hostnames, *(host for host, _ in (settings.http, settings.https) if host not in _ANY)]
    files = local_ca.ensure_local_ca(settings.data, names)
    return make_tls_context(str(files.certificate), str(files.key)), files.ca_certificate


_ANY = {"0.0.0.0", "::"}  # noqa: S104 - recognised, not bound


def _observability(address: tuple[str, int] | None) -> Listen | None:
    """The address given, or the default one, which a second process on this machine does without."""
    if address is None:
        try:
            socket.create_server(OBSERVABILITY_DEFAULT).close()
        except OSError:
            _log.warning(
                "observability address is taken, going on without", address=_join(OBSERVABILITY_DEFAULT)
            )
            return None
    host, port = address or OBSERVABILITY_DEFAULT
    return Listen(host=host, port=port)


def _kas_secret(path: Path) -> bytes:
    """The secret kas and the hub share: base64 of 32 bytes, as GitLab keeps it; made at the first start."""
    if not path.exists():
        private_file.write(path, base64.b64encode(secrets.token_bytes(32)) + b"\n")
    try:
        secret = base64.b64decode(path.read_bytes().strip(), validate=True)
    except ValueError as error:
        raise UserError(f"{path} must hold base64 of 32 bytes; remove it to have a new one made") from error
    if len(secret) != 32:
        raise UserError(f"{path} must hold base64 of 32 bytes; remove it to have a new one made")
    return secret


def _urls(settings: UpSettings) -> dict[str, str]:
    """Where people, agents and kubectl find us, from outside."""
    http, https, grpc = (_join(address) for address in (settings.http, settings.https, settings.grpc))
    external = settings.external_url or f"https://{https}"
    agents = external if settings.external_url else f"http://{http}"
    return {
        "http": f"http://{http}",
        "https": f"https://{https}",
        "grpc": f"grpc://{grpc}",
        "external": external,
        "kas_address": agents.replace("http", "ws", 1) + AGENT_PATH,
        "k8s_proxy": external + PROXY_PATH,
    }


def _join(address: tuple[str, int]) -> str:
    host, port = address
    if host in _ANY:
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _announce(settings: UpSettings, urls: dict[str, str], ca_file: Path | None) -> None:
    """One JSON line on stdout: scripts wait for it."""
    line = {name: url for name, url in urls.items() if name != "external"}
    line["ca_file"] = str(ca_file) if ca_file else ""
    line["root_token_file"] = str(settings.data / "root-token")
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    _log.info("ready", url=urls["external"])


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
