"""The sections of kas' configuration file: GitLab's keys, defaults and rules. Long, because it is a table.

A key marked `WITHOUT_EFFECT` is checked like the others and governs nothing here. What needs more than one key stands
in `problems`. docs/reference/kas.md is made from this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from kasbah.errors import UserError
from kasbah.kas.configuration_file.values import (
    WITHOUT_EFFECT,
    Duration,
    PositiveDuration,
    Text1,
    Uint32,
    Uri,
)
from kasbah.kit.listening import Network, parse_listen_address

ABSENT: Final[Mapping[str, Any]] = {}


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A section of the file."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong between keys that are good alone: the key, and what to say of it."""
        yield from ()


class RateLimitSection(Section, frozen=True, kw_only=True):
    refill_rate_per_second: Annotated[float, msgspec.Meta(ge=0)] = 50
    """Calls a second in the long run."""
    bucket_size: Uint32 = 250
    """Calls at once after a quiet time."""


class GitalyRateLimitSection(Section, frozen=True, kw_only=True):
    refill_rate_per_second: Annotated[float, msgspec.Meta(ge=0), WITHOUT_EFFECT] = 0
    """There is no Gitaly here."""
    bucket_size: Annotated[Uint32, WITHOUT_EFFECT] = 0
    """There is no Gitaly here."""


class GitLabSection(Section, frozen=True, kw_only=True):
    address: Uri
    """The Git side's base URL; a path is kept as a prefix."""
    authentication_secret_file: Text1
    """The secret kas and the Git side share: base64 of 32 bytes; `kasbah up` keeps it in DIR/kas-secret."""
    ca_certificate_file: str = ""
    """PEM certificates to trust when calling the Git side over https, instead of the system's."""
    api_rate_limit: RateLimitSection = RateLimitSection()
    external_url: Uri = Uri("")
    """Where people reach the Git side: the CORS origin, and sent to agents."""


class ListenSection(Section, frozen=True, kw_only=True):
    network: Network = "tcp"
    """`tcp` (both families), `tcp4`, `tcp6`, or `unix`: then the address is a path."""
    address: str = ""
    """`HOST:PORT`, or `:PORT` for every interface."""
    certificate_file: str = ""
    """A PEM certificate with its chain, to serve over TLS; with its key or not at all."""
    key_file: str = ""
    """The certificate's key."""

    def problems(self) -> Iterator[tuple[str, str]]:
        if bool(self.certificate_file) != bool(self.key_file):
            yield "certificate_file", "certificate_file and key_file belong together: give both or neither"
        try:
            parse_listen_address(self.network, self.address)
        except UserError as error:
            yield "address", str(error)


class ListenAgentSection(ListenSection, frozen=True, kw_only=True):
    address: str = "127.0.0.1:8150"
    """Where agents dial, over gRPC or WebSockets: every listener tells them apart by their first bytes."""
    websocket: Annotated[bool, WITHOUT_EFFECT] = False
    """GitLab's kas takes either WebSockets or gRPC; this one takes both, whatever is said here."""
    connections_per_token_per_minute: Annotated[Uint32, WITHOUT_EFFECT] = 40000
    """GitLab counts calls, not connections. Here connections of one agent are bounded instead (`limits.md`)."""
    max_connection_age: PositiveDuration = PositiveDuration(7200)
    """An older connection is asked to go and come back, a little earlier at random."""
    listen_grace_period: PositiveDuration = PositiveDuration(5)
    """After SIGTERM: how long to be not ready and still accept, so that a load balancer takes notice."""


class ListenKubernetesApiSection(ListenSection, frozen=True, kw_only=True):
    address: str = "0.0.0.0:8154"
    """Where kubectl and others reach the clusters."""
    listen_grace_period: PositiveDuration = PositiveDuration(5)
    """As `agent.listen.listen_grace_period`; the longest of them counts for all."""
    shutdown_grace_period: PositiveDuration = PositiveDuration(3600)
    """How long requests under way may take to finish after that; what is left is cut."""


class ListenObservabilitySection(ListenSection, frozen=True, kw_only=True):
    address: str = "127.0.0.1:8151"
    """Where metrics and probes are."""


class ListenApiSection(ListenSection, frozen=True, kw_only=True):
    address: str = "127.0.0.1:8153"
    """Where the Git side asks over gRPC."""
    authentication_secret_file: Text1
    """The secret the Git side signs its JWTs with: base64 of 32 bytes, most often the one of `gitlab`."""
    max_connection_age: PositiveDuration = PositiveDuration(7200)
    """An older connection is asked to go and come back, a little earlier at random."""
    listen_grace_period: PositiveDuration = PositiveDuration(5)
    """As `agent.listen.listen_grace_period`."""


class ListenPrivateApiSection(ListenSection, frozen=True, kw_only=True):
    address: str = "127.0.0.1:8155"
    """Where other replicas of kas ask."""
    authentication_secret_file: Text1
    """The secret the replicas share: base64 of 32 bytes."""
    max_connection_age: PositiveDuration = PositiveDuration(7200)
    """An older connection is asked to go and come back, a little earlier at random."""
    ca_certificate_file: str = ""
    """PEM certificates to trust when dialling other replicas over TLS, instead of the system's."""
    listen_grace_period: PositiveDuration = PositiveDuration(5)
    """As `agent.listen.listen_grace_period`."""


class ConfigurationSection(Section, frozen=True, kw_only=True):
    poll_period: PositiveDuration = PositiveDuration(300)
    """How often an agent's configuration is looked at when nothing is pushed."""
    max_configuration_file_size: Uint32 = 131072
    """Bytes."""


class GitopsSection(Section, frozen=True, kw_only=True):
    poll_period: PositiveDuration = PositiveDuration(300)
    """How often a manifest project is looked at when nothing is pushed."""
    project_info_cache_ttl: Duration = Duration(300)
    """How long a yes about an agent's right to a project is remembered, never longer than 60 s."""
    project_info_cache_error_ttl: Duration = Duration(60)
    """How long a no is remembered, never longer than 10 s."""
    max_manifest_file_size: Uint32 = 5 * 1024 * 1024
    """Bytes of one manifest file."""
    max_total_manifest_file_size: Uint32 = 20 * 1024 * 1024
    """Bytes of all manifest files of one project."""
    max_number_of_paths: Uint32 = 100
    """Globs of one project."""
    max_number_of_files: Uint32 = 1000
    """Files of one project."""


class SessionRecordingSection(Section, frozen=True, kw_only=True):
    directory: Text1
    """Not GitLab's, like the whole section: where exec and attach sessions are recorded, a file each."""
    with_input: bool = False
    """Record what is typed, too; passwords are typed."""
    max_file_size: Uint32 = 64 * 1024 * 1024
    """Bytes of one file; a recording that would grow beyond ends, and its session goes on."""


class KubernetesApiSection(Section, frozen=True, kw_only=True):
    listen: ListenKubernetesApiSection = ListenKubernetesApiSection()
    url_path_prefix: str = "/"
    """What stands before the Kubernetes path."""
    allowed_agent_cache_ttl: Duration = Duration(60)
    """How long a yes about who may use an agent is remembered, never longer than 5 s."""
    allowed_agent_cache_error_ttl: Duration = Duration(10)
    """How long a no is remembered, never longer than 2 s."""
    session_recording: SessionRecordingSection | None = None
    """Absent: nothing is recorded."""
    explain_refusals: bool = True
    """Not GitLab's: below a cluster's 403, tell people who they are there and what would allow the request."""
    websocket_token_secret_file: Annotated[str, WITHOUT_EFFECT] = ""
    """There are no browser tokens for WebSockets."""
    extra_allowed_response_headers: Annotated[tuple[str, ...], WITHOUT_EFFECT] = ()
    """What a cluster may answer is fixed."""


class PollSection(Section, frozen=True, kw_only=True):
    poll_period: Annotated[PositiveDuration, WITHOUT_EFFECT] = PositiveDuration(60)
    """There is nothing of the kind to poll."""


class AgentSection(Section, frozen=True, kw_only=True):
    listen: ListenAgentSection = ListenAgentSection()
    configuration: ConfigurationSection = ConfigurationSection()
    gitops: GitopsSection = GitopsSection()
    info_cache_ttl: Duration = Duration(300)
    """How long the agent behind a token is remembered, never longer than 5 s: a revoked one must end."""
    info_cache_error_ttl: Duration = Duration(60)
    """How long a token is remembered to be wrong, never longer than 2 s: people repair and try again."""
    redis_conn_info_ttl: Annotated[PositiveDuration, WITHOUT_EFFECT] = PositiveDuration(300)
    """What nobody confirms leaves Redis after 300 s."""
    redis_conn_info_refresh: Annotated[PositiveDuration, WITHOUT_EFFECT] = PositiveDuration(240)
    """What this kas holds is confirmed every 240 s."""
    redis_conn_info_gc: Annotated[PositiveDuration, WITHOUT_EFFECT] = PositiveDuration(600)
    """Redis removes by itself what others left behind."""
    kubernetes_api: KubernetesApiSection | None = None
    """Absent: no Kubernetes API proxy. `{}`: one with all defaults."""
    remote_development: PollSection = PollSection()
    receptive_agent: PollSection = PollSection()


class UrlPathSection(Section, frozen=True, kw_only=True):
    url_path: str = ""
    """A path that begins with a slash."""

    def problems(self) -> Iterator[tuple[str, str]]:
        if not self.url_path.startswith("/") or not self.url_path.isprintable() or " " in self.url_path:
            yield "url_path", "expected a path such as /metrics"


class PrometheusSection(UrlPathSection, frozen=True, kw_only=True):
    url_path: str = "/metrics"
    """Where Prometheus scrapes."""


class LivenessSection(UrlPathSection, frozen=True, kw_only=True):
    url_path: str = "/liveness"
    """200 while the loop turns."""


class ReadinessSection(UrlPathSection, frozen=True, kw_only=True):
    url_path: str = "/readiness"
    """200 while everything is up and kas is not stopping."""


class TracingSection(Section, frozen=True, kw_only=True):
    otlp_endpoint: Uri
    """Where spans of proxied requests go, over OTLP with JSON: such as `http://localhost:4318/v1/traces`."""
    otlp_token_secret_file: str = ""
    """A file with the collector's bearer token."""
    otlp_ca_certificate_file: str = ""
    """PEM certificates to trust, instead of the system's."""


class SentrySection(Section, frozen=True, kw_only=True):
    dsn: Annotated[str, WITHOUT_EFFECT] = ""
    """Nothing is sent to Sentry."""
    environment: Annotated[str, WITHOUT_EFFECT] = ""
    """Nothing is sent to Sentry."""


class GoogleProfilerSection(Section, frozen=True, kw_only=True):
    enabled: Annotated[bool, WITHOUT_EFFECT] = False
    """Nothing is profiled."""
    project_id: Annotated[str, WITHOUT_EFFECT] = ""
    """Nothing is profiled."""
    credentials_file: Annotated[str, WITHOUT_EFFECT] = ""
    """Nothing is profiled."""
    debug_logging: Annotated[bool, WITHOUT_EFFECT] = False
    """Nothing is profiled."""


class LoggingSection(Section, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warn", "error"] = "info"
    """The least important line that is written."""
    grpc_level: Annotated[Literal["debug", "info", "warn", "error"], WITHOUT_EFFECT] = "error"
    """GitLab's gRPC library logs apart; here it is all one log."""


class ObservabilitySection(Section, frozen=True, kw_only=True):
    usage_reporting_period: Duration = Duration(60)
    """How often usage counters go to the Git side; 0s: never."""
    event_reporting_period: Annotated[Duration, WITHOUT_EFFECT] = Duration(60)
    """There are no such events."""
    listen: ListenObservabilitySection = ListenObservabilitySection()
    prometheus: PrometheusSection = PrometheusSection()
    tracing: TracingSection | None = None
    sentry: SentrySection = SentrySection()
    logging: LoggingSection = LoggingSection()
    google_profiler: GoogleProfilerSection = GoogleProfilerSection()
    liveness_probe: LivenessSection = LivenessSection()
    readiness_probe: ReadinessSection = ReadinessSection()


class GitalySection(Section, frozen=True, kw_only=True):
    global_api_rate_limit: GitalyRateLimitSection = GitalyRateLimitSection()
    per_server_api_rate_limit: GitalyRateLimitSection = GitalyRateLimitSection()


class RedisServerSection(Section, frozen=True, kw_only=True):
    address: Text1
    """`HOST:PORT`, or a path when `redis.network` is `unix`."""


class RedisSentinelSection(Section, frozen=True, kw_only=True):
    master_name: Text1
    """What the sentinels call the master."""
    addresses: Annotated[tuple[Text1, ...], msgspec.Meta(min_length=1)]
    """`HOST:PORT` of each sentinel."""
    sentinel_password_file: str = ""
    """A file with the sentinels' own password."""


class RedisTlsSection(Section, frozen=True, kw_only=True):
    enabled: bool = False
    """Speak TLS to Redis."""
    certificate_file: str = ""
    """A PEM certificate to show Redis; with its key or not at all."""
    key_file: str = ""
    """The certificate's key."""
    ca_certificate_file: str = ""
    """PEM certificates to trust, instead of the system's."""

    def problems(self) -> Iterator[tuple[str, str]]:
        if bool(self.certificate_file) != bool(self.key_file):
            yield "certificate_file", "certificate_file and key_file belong together: give both or neither"


class RedisSection(Section, frozen=True, kw_only=True):
    server: RedisServerSection | None = None
    """One Redis; this or `sentinel`."""
    sentinel: RedisSentinelSection | None = None
    """One found by sentinels; this or `server`."""
    pool_size: Uint32 = 0
    """Connections at most; 0: 16."""
    dial_timeout: PositiveDuration = PositiveDuration(5)
    """To connect; no call takes longer than 3 s altogether."""
    read_timeout: PositiveDuration = PositiveDuration(3)
    """For one answer."""
    write_timeout: PositiveDuration = PositiveDuration(3)
    """For one command."""
    idle_timeout: PositiveDuration = PositiveDuration(300)
    """A connection idle for as long is tried before it is used."""
    key_prefix: str = "kasbah-kas"
    """Before every key; replicas of one deployment share it. GitLab's is `gitlab-kas`: what it keeps is not what we keep."""
    username: str = ""
    """For Redis' access control lists."""
    password_file: str = ""
    """A file with the password."""
    network: Literal["", "tcp", "unix"] = "tcp"
    """`tcp` or `unix`."""
    tls: RedisTlsSection = RedisTlsSection()
    database_index: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    """Which of Redis' databases."""

    def problems(self) -> Iterator[tuple[str, str]]:
        if (self.server is None) == (self.sentinel is None):
            yield "server", "give server or sentinel, one of the two"


class ApiSection(Section, frozen=True, kw_only=True):
    listen: ListenApiSection


class PrivateApiSection(Section, frozen=True, kw_only=True):
    listen: ListenPrivateApiSection


class AuditSection(Section, frozen=True, kw_only=True):
    directory: str = ""
    """Where the audit log of the Kubernetes API proxy lies, for this kas alone; empty: there is none."""
    reads: bool = True
    """Whether requests that change nothing are in it, too."""
    keep_mebibytes: Uint32 = 16384
    """Above this the oldest part is removed, and the log says so."""


class AccessLogSection(Section, frozen=True, kw_only=True):
    file: str = ""
    """Where one line of JSON a request goes: a path, or `-` for stdout; empty: nowhere."""


class KasbahSection(Section, frozen=True, kw_only=True):
    """What GitLab's kas does not have."""

    audit: AuditSection = AuditSection()
    access_log: AccessLogSection = AccessLogSection()


class ConfigurationFile(Section, frozen=True, kw_only=True):
    """The whole file."""

    gitlab: GitLabSection
    agent: AgentSection = AgentSection()
    observability: ObservabilitySection = ObservabilitySection()
    gitaly: GitalySection = GitalySection()
    redis: RedisSection | None = None
    """Absent: this kas is alone and remembers in memory. GitLab's kas requires it."""
    api: ApiSection | None = None
    """Absent: the Git side cannot ask or tell this kas anything over gRPC. GitLab's kas requires it."""
    private_api: PrivateApiSection | None = None
    """Absent: other replicas cannot reach the agents of this one. GitLab's kas requires it."""
    autoflow: Annotated[Mapping[str, Any], WITHOUT_EFFECT] = ABSENT
    """There is no AutoFlow."""
    workspaces: Annotated[Mapping[str, Any], WITHOUT_EFFECT] = ABSENT
    """There are no workspaces."""
    events_platform: Annotated[Mapping[str, Any], WITHOUT_EFFECT] = ABSENT
    """There is no events platform."""
    server_info: Annotated[Mapping[str, Any], WITHOUT_EFFECT] = ABSENT
    """Nothing asks for it."""
    kasbah: KasbahSection = KasbahSection()
    """What GitLab's kas does not have, and would refuse."""
