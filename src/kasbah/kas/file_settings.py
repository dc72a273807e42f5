"""What the configuration file says, as the settings of kas' features.

Between two rooms that do not know each other: the file's schema is GitLab's, the settings are ours. Times of the file
shorten what is remembered and never lengthen it: a right that was taken back ends in seconds. Reads the files the file
names, and binds its addresses.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from kasbah.errors import PeerError, UserError
from kasbah.kas.access_log.settings import AccessLogSettings
from kasbah.kas.agent_configuration.settings import Settings as AgentConfigurationSettings
from kasbah.kas.audit.settings import AuditSettings
from kasbah.kas.configuration_file.schema import (
    AccessLogSection,
    AuditSection,
    ConfigurationFile,
    GitopsSection,
    ListenSection,
    ObservabilitySection,
    PrivateApiSection,
    RedisSection,
    TracingSection,
)
from kasbah.kas.gitops.settings import Settings as GitopsSettings
from kasbah.kas.http_server.server import Listen, make_tls_context
from kasbah.kas.hub_client.settings import HubClientSettings
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.observability.settings import ObservabilitySettings
from kasbah.kas.private_api.own_url import HOST, find_own_url
from kasbah.kas.private_api.settings import PrivateApiSettings
from kasbah.kas.redis.settings import RedisSettings, RedisTls
from kasbah.kas.session_recording.settings import SessionRecordingSettings
from kasbah.kas.tracing.settings import TracingSettings
from kasbah.kit import shared_secret
from kasbah.kit.chained_log.settings import ChainedLogSettings
from kasbah.kit.listening import bound, parse_listen_address
from kasbah.kit.secrets import Secret

_LONGEST_PASSWORD = 4096


def listen(section: ListenSection, place: str, stack: ExitStack) -> Listen:
    """The section's address, bound until the stack unwinds; `place` is the section's path, for errors.

    Raises:
        UserError: the certificate cannot be used.
        PeerError: the address is taken, or this machine does not have it.
    """
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


def listen_grace_s(file: ConfigurationFile) -> float:
    """The longest of the listeners' graces: kas stops as a whole."""
    sections = [
        section.listen for section in (file.agent.kubernetes_api, file.api, file.private_api) if section
    ]
    return max(section.listen_grace_period for section in (file.agent.listen, *sections))


def url_path_prefix(file: ConfigurationFile) -> bytes:
    """What stands before the Kubernetes path, with a slash at both ends."""
    text = file.agent.kubernetes_api.url_path_prefix if file.agent.kubernetes_api else ""
    return f"/{text.strip('/')}/".replace("//", "/").encode()


def agent_configuration(file: ConfigurationFile) -> AgentConfigurationSettings:
    section = file.agent.configuration
    return AgentConfigurationSettings(
        poll_interval_s=section.poll_period,
        max_configuration_file_size=section.max_configuration_file_size,
        gitlab_external_url=file.gitlab.external_url,
    )


def gitops(section: GitopsSection) -> GitopsSettings:
    return GitopsSettings(
        poll_interval_s=section.poll_period,
        max_manifest_file_size=section.max_manifest_file_size,
        max_total_manifest_file_size=section.max_total_manifest_file_size,
        max_number_of_paths=section.max_number_of_paths,
        max_number_of_files=section.max_number_of_files,
    )


def kubernetes_api(file: ConfigurationFile) -> KubernetesApiSettings:
    ours = KubernetesApiSettings(external_origin=file.gitlab.external_url.rstrip("/"))
    proxy = file.agent.kubernetes_api
    if proxy is None:
        return ours
    return dataclasses.replace(
        ours,
        grant_ttl_s=min(ours.grant_ttl_s, proxy.allowed_agent_cache_ttl),
        denial_ttl_s=min(ours.denial_ttl_s, proxy.allowed_agent_cache_error_ttl),
    )


def session_recording(file: ConfigurationFile) -> SessionRecordingSettings:
    proxy = file.agent.kubernetes_api
    section = proxy.session_recording if proxy else None
    if section is None:
        return SessionRecordingSettings()
    return SessionRecordingSettings(
        directory=Path(section.directory),
        with_input=section.with_input,
        max_file_bytes=section.max_file_size,
    )


def hub_client(file: ConfigurationFile) -> HubClientSettings:
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


def observability(section: ObservabilitySection) -> ObservabilitySettings:
    return ObservabilitySettings(
        metrics_path=section.prometheus.url_path,
        liveness_path=section.liveness_probe.url_path,
        readiness_path=section.readiness_probe.url_path,
    )


def audit(section: AuditSection) -> AuditSettings:
    return AuditSettings(
        directory=Path(section.directory).absolute() if section.directory else None,
        reads=section.reads,
        log=ChainedLogSettings(keep_bytes=section.keep_mebibytes * 1024 * 1024),
    )


def access_log(section: AccessLogSection) -> AccessLogSettings:
    return AccessLogSettings(file=section.file)


def tracing(section: TracingSection) -> TracingSettings:
    """Raises UserError: a file cannot be used."""
    ca_file = section.otlp_ca_certificate_file
    return TracingSettings(
        otlp_endpoint=section.otlp_endpoint,
        token=_password(section.otlp_token_secret_file),
        tls=trust(ca_file, "observability.tracing.otlp_ca_certificate_file") if ca_file else None,
    )


def redis(section: RedisSection) -> RedisSettings:
    """Raises UserError: a password file cannot be read, or an address is none."""
    sentinel = section.sentinel
    server = (section.server.address,) if section.server else ()
    made = RedisSettings(
        addresses=sentinel.addresses if sentinel else server,
        network=section.network or "tcp",
        sentinel_master=sentinel.master_name if sentinel else "",
        sentinel_password=_password(sentinel.sentinel_password_file) if sentinel else Secret(""),
        username=section.username,
        password=_password(section.password_file),
        tls=RedisTls(
            ca_certificate_file=section.tls.ca_certificate_file,
            certificate_file=section.tls.certificate_file,
            key_file=section.tls.key_file,
        )
        if section.tls.enabled
        else None,
        database_index=section.database_index,
        dial_timeout_s=section.dial_timeout,
        read_timeout_s=section.read_timeout,
        write_timeout_s=section.write_timeout,
        idle_timeout_s=section.idle_timeout,
        key_prefix=section.key_prefix,
    )
    return dataclasses.replace(made, pool_size=section.pool_size) if section.pool_size else made


def private_api(
    section: PrivateApiSection, environment: Mapping[str, str], stack: ExitStack
) -> PrivateApiSettings:
    """Where the other replicas reach this one, which the environment may say.

    Raises:
        UserError: the own URL cannot be known, or a file cannot be used.
        PeerError: the address is taken.
    """
    at, ca_file = section.listen, section.listen.ca_certificate_file
    own_url = find_own_url(environment, at.address, network=at.network, tls=bool(at.certificate_file))
    return PrivateApiSettings(
        listens=(listen(at, "private_api.listen", stack),),
        own_url=str(own_url),
        secret=shared_secret.decode(secret(at.authentication_secret_file)),
        tls=trust(ca_file, "private_api.listen.ca_certificate_file") if ca_file else None,
        server_name=environment.get(HOST, ""),
        max_connection_age_s=at.max_connection_age,
    )


def secret(path: str) -> Secret:
    """A shared secret, base64.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    return shared_secret.read(Path(path))


def trust(ca_certificate_file: str, place: str) -> ssl.SSLContext:
    """Whom to trust when dialling; `place` is the key's path, for errors.

    Raises:
        UserError: the file holds no certificates.
    """
    try:
        return ssl.create_default_context(cafile=ca_certificate_file or None)
    except OSError as error:
        raise UserError(f"{place} cannot be used: {error}") from error


def _password(path: str) -> Secret:
    if not path:
        return Secret("")
    try:
        with Path(path).open("rb") as file:
            return Secret(file.read(_LONGEST_PASSWORD).decode().strip())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"cannot read the password file {path}: {why}") from error
