"""The program `kas`: a configuration file in, an exit code out. Beside a Git side elsewhere; `kasbah up` needs it not."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import structlog

from kasbah import __version__
from kasbah.errors import KasbahError, UserError
from kasbah.kas import file_settings
from kasbah.kas.app import Kas, KasSettings
from kasbah.kas.configuration_file import reading
from kasbah.kas.configuration_file.schema import ConfigurationFile
from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.kas.internal_api.settings import InternalApiSettings
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kas.tracing.settings import TracingSettings
from kasbah.kit import logs, loop, shared_secret
from kasbah.kit.secrets import Secret, scrub

_log = structlog.get_logger()

EXIT_FAILED = 1
EXIT_UNUSABLE = 2
_DESCRIPTION = """\
kas accepts the connections of agents and serves the Kubernetes API of their clusters to whoever the Git side allows.
On one machine, `kasbah up` runs it together with a Git side of ours and needs no file."""


def main() -> None:
    """Run kas until SIGTERM or SIGINT, which drain; a second signal does not wait."""
    parser = argparse.ArgumentParser(prog="kas", description=_DESCRIPTION)
    parser.add_argument(
        "--configuration-file",
        type=Path,
        required=True,
        help="YAML, with GitLab's keys (docs/reference/kas.md)",
    )
    parser.add_argument("--version", action="version", version=f"kas version v{__version__}")
    arguments = parser.parse_args()
    logs.configure()
    code = 0
    try:
        read = reading.read(arguments.configuration_file)
        logs.configure(read.file.observability.logging.level)
        if read.without_effect:
            _log.warning("configuration keys have no effect here", keys=", ".join(read.without_effect))
        loop.run(_serve(read.file))
    except* UserError as group:
        code = _report(group, EXIT_UNUSABLE)
    except* (KasbahError, OSError) as group:
        code = _report(group, EXIT_FAILED)
    sys.exit(code)


async def _serve(file: ConfigurationFile) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stop)
    gitlab = file.gitlab
    secret = shared_secret.decode(file_settings.secret(gitlab.authentication_secret_file))
    trusted = file_settings.trust(gitlab.ca_certificate_file, "gitlab.ca_certificate_file")
    with ExitStack() as stack:
        settings = _settings(file, stack)
        async with httpx2.AsyncClient(base_url=gitlab.address, verify=trusted, trust_env=False) as hub:
            await Kas(settings, hub, secret, _nothing_here).run(stop, lambda: _log.info("ready"))
    _log.info("stopped")


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(EXIT_FAILED)  # the second signal: whoever sends it does not want to wait
    stop.set()


def _settings(file: ConfigurationFile, stack: ExitStack) -> KasSettings:
    """The settings, with every address bound until the stack unwinds."""
    agent, api, probes = file.agent, file.api, file.observability
    proxy = agent.kubernetes_api
    drain_s = proxy.listen.shutdown_grace_period if proxy else ReverseTunnelSettings().drain_timeout_s
    return KasSettings(
        version=__version__,
        agent_listens=(file_settings.listen(agent.listen, "agent.listen", stack),),
        kubernetes_api_listens=(file_settings.listen(proxy.listen, "agent.kubernetes_api.listen", stack),)
        if proxy
        else (),
        kubernetes_api_prefix=file_settings.url_path_prefix(file),
        observability=file_settings.listen(probes.listen, "observability.listen", stack),
        probes=file_settings.observability(probes),
        internal_api_listens=(file_settings.listen(api.listen, "api.listen", stack),) if api else (),
        internal_api_secret=file_settings.secret(api.listen.authentication_secret_file)
        if api
        else Secret(""),
        internal_api=InternalApiSettings(max_connection_age_s=api.listen.max_connection_age)
        if api
        else InternalApiSettings(),
        agent_configuration=file_settings.agent_configuration(file),
        gitops=file_settings.gitops(agent.gitops),
        kubernetes_api=file_settings.kubernetes_api(file),
        session_recording=file_settings.session_recording(file),
        explain_refusals=proxy is None or proxy.explain_refusals,
        audit=file_settings.audit(file.kasbah.audit),
        access_log=file_settings.access_log(file.kasbah.access_log),
        tracing=file_settings.tracing(probes.tracing) if probes.tracing else TracingSettings(),
        hub_client=file_settings.hub_client(file),
        http_server=HttpServerSettings(drain_s=drain_s),
        reverse_tunnel=ReverseTunnelSettings(
            max_connection_age_s=agent.listen.max_connection_age, drain_timeout_s=drain_s
        ),
        redis=file_settings.redis(file.redis) if file.redis else None,
        private_api=file_settings.private_api(file.private_api, os.environ, stack)
        if file.private_api
        else None,
        usage_reporting_period_s=probes.usage_reporting_period,
        listen_grace_s=file_settings.listen_grace_s(file),
    )


async def _nothing_here(_scope: Any, _receive: Any, send: Any) -> None:
    """Answers whatever is neither an agent nor the Kubernetes API."""
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"this is kas; nothing is here\n"})


def _report(group: BaseExceptionGroup[BaseException], code: int) -> int:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _report(error, code)
        else:
            sys.stderr.write(f"kas: {scrub(str(error))}\n")
    return code


if __name__ == "__main__":
    main()
