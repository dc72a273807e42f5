"""The program `kas`: a configuration file in, an exit code out. Beside a Git side elsewhere; `kasbah up` needs it not."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import signal
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import structlog

from kasbah import __version__
from kasbah.errors import KasbahError, PeerError, UserError
from kasbah.kas.agent_configuration.settings import Settings as AgentConfigurationSettings
from kasbah.kas.app import Kas, KasSettings
from kasbah.kas.configuration_file import reading
from kasbah.kas.configuration_file.schema import ConfigurationFile, GitopsSection, ListenSection
from kasbah.kas.gitops.settings import Settings as GitopsSettings
from kasbah.kas.http_server.server import Listen, make_tls_context
from kasbah.kas.http_server.settings import HttpServerSettings
from kasbah.kas.hub_client.settings import HubClientSettings
from kasbah.kas.internal_api.settings import InternalApiSettings
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.observability.settings import ObservabilitySettings
from kasbah.kas.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit import logs, loop, shared_secret
from kasbah.kit.listening import bound, parse_listen_address
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
    secret = shared_secret.decode(_secret(file.gitlab.authentication_secret_file))
    with ExitStack() as stack:
        settings = _settings(file, stack)
        async with httpx2.AsyncClient(
            base_url=file.gitlab.address, verify=_trust(file), trust_env=False
        ) as hub:
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
    graces = [agent.listen.listen_grace_period]
    graces += [section.listen.listen_grace_period for section in (proxy, api) if section]
    drain_s = proxy.listen.shutdown_grace_period if proxy else ReverseTunnelSettings().drain_timeout_s
    return KasSettings(
        version=__version__,
        agent_listens=(_listen(agent.listen, "agent.listen", stack),),
        kubernetes_api_listens=()
        if proxy is None
        else (_listen(proxy.listen, "agent.kubernetes_api.listen", stack),),
        kubernetes_api_prefix=_prefix(proxy.url_path_prefix if proxy else "/"),
        observability=_listen(probes.listen, "observability.listen", stack),
        probes=ObservabilitySettings(
            metrics_path=probes.prometheus.url_path,
            liveness_path=probes.liveness_probe.url_path,
            readiness_path=probes.readiness_probe.url_path,
        ),
        internal_api_listens=() if api is None else (_listen(api.listen, "api.listen", stack),),
        internal_api_secret=_secret(api.listen.authentication_secret_file) if api else Secret(""),
        internal_api=InternalApiSettings(max_connection_age_s=api.listen.max_connection_age)
        if api
        else InternalApiSettings(),
        agent_configuration=AgentConfigurationSettings(
            poll_interval_s=agent.configuration.poll_period,
            max_configuration_file_size=agent.configuration.max_configuration_file_size,
            gitlab_external_url=file.gitlab.external_url,
        ),
        gitops=_gitops(agent.gitops),
        kubernetes_api=_kubernetes_api(file),
        hub_client=_hub_client(file),
        http_server=HttpServerSettings(drain_s=drain_s),
        reverse_tunnel=ReverseTunnelSettings(drain_timeout_s=drain_s),
        usage_reporting_period_s=probes.usage_reporting_period,
        listen_grace_s=max(graces),
    )


def _gitops(section: GitopsSection) -> GitopsSettings:
    return GitopsSettings(
        poll_interval_s=section.poll_period,
        max_manifest_file_size=section.max_manifest_file_size,
        max_total_manifest_file_size=section.max_total_manifest_file_size,
        max_number_of_paths=section.max_number_of_paths,
        max_number_of_files=section.max_number_of_files,
    )


def _kubernetes_api(file: ConfigurationFile) -> KubernetesApiSettings:
    """Times of the file shorten ours and never lengthen them: a right that was taken back ends in seconds."""
    ours = KubernetesApiSettings(external_origin=file.gitlab.external_url.rstrip("/"))
    proxy = file.agent.kubernetes_api
    if proxy is None:
        return ours
    return dataclasses.replace(
        ours,
        grant_ttl_s=min(ours.grant_ttl_s, proxy.allowed_agent_cache_ttl),
        denial_ttl_s=min(ours.denial_ttl_s, proxy.allowed_agent_cache_error_ttl),
    )


def _hub_client(file: ConfigurationFile) -> HubClientSettings:
    """As `_kubernetes_api`: the shorter time counts."""
    ours, agent, limit = HubClientSettings(), file.agent, file.gitlab.api_rate_limit
    return dataclasses.replace(
        ours,
        agent_info_ttl_s=min(ours.agent_info_ttl_s, agent.info_cache_ttl),
        agent_info_error_ttl_s=min(ours.agent_info_error_ttl_s, agent.info_cache_error_ttl),
        project_info_ttl_s=min(ours.project_info_ttl_s, agent.gitops.project_info_cache_ttl),
        project_info_error_ttl_s=min(
            ours.project_info_error_ttl_s, agent.gitops.project_info_cache_error_ttl
        ),
        calls_per_s=limit.refill_rate_per_second,
        calls_at_once=limit.bucket_size,
    )


def _secret(path: str) -> Secret:
    return shared_secret.read(Path(path))


def _listen(section: ListenSection, place: str, stack: ExitStack) -> Listen:
    tls = None
    if section.certificate_file:
        try:
            tls = make_tls_context(section.certificate_file, section.key_file)
        except OSError as error:
            raise UserError(f"{place}: the certificate cannot be used: {error}") from error
    try:
        taken = stack.enter_context(bound(parse_listen_address(section.network, section.address)))
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (")[0]
        raise PeerError(f"{place}.address {section.address}: {why}") from error
    return Listen(host=taken.address.host, port=taken.address.port, tls=tls, sockets=taken.sockets)


def _prefix(text: str) -> bytes:
    """With a slash at both ends."""
    return f"/{text.strip('/')}/".replace("//", "/").encode()


def _trust(file: ConfigurationFile) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file.gitlab.ca_certificate_file or None)
    except OSError as error:
        raise UserError(f"gitlab.ca_certificate_file cannot be used: {error}") from error


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
