"""Settings of the Kubernetes API proxy, with the reasons for their defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesApiSettings:
    external_origin: str = ""
    """The hub's own origin (`https://host`): pages from there may ask; pages from elsewhere get 403."""
    grant_ttl_s: float = 5
    """A grant serves new requests this long without asking again: revocation is felt within it."""
    denial_ttl_s: float = 2
    """A refusal is remembered this long: short, because people repair and try again."""
    recheck_s: float = 4
    """A credential with open-ended streams is authorised again this often."""
    lease_s: float = 9
    """Streams live this long after the last successful authorisation, should the Git side be away."""
    authorization_timeout_s: float = 10
    """The Git side must have decided by then."""
    max_grants: int = 10_000
    """Decisions remembered at once; the oldest go first."""
    max_pending: int = 1000
    """Decisions asked for at once; one more request gets 503."""
    agent_wait_s: float = 5
    """How long a request waits for an agent that is not connected or busy: a restart of agentk takes less."""
    outage_s: float = 30
    """An agent that was connected so recently is expected back: requests get 503 with `Retry-After`, which kubectl waits out."""
    watch_outage_s: float = 300
    """How long an interrupted watch is kept: API servers forget versions older than five minutes, so later it would start over."""
    watch_stall_s: float = 180
    """Silence after which a watch whose API server sends bookmarks is opened again; they come every minute or so."""
    max_watch_event_bytes: int = 8 * 1024 * 1024
    """An event of a watch that is larger passes as it comes; objects are at most 3 MiB, as JSON perhaps twice that."""
    max_held_watch_bytes: int = 64 * 1024 * 1024
    """Held of large events that are not whole, over all watches; beyond it they pass as they come."""
    head_timeout_s: float = 90
    """How long an answer that is not open-ended may take to begin; the API server itself gives up after 60."""
    max_body_bytes: int = 10 * 1024 * 1024
    """The largest body of an ordinary request; the API server takes 3 MiB."""
    max_requests_per_principal: int = 256
    """Requests of one person under way at once, open-ended ones apart."""
    max_requests_per_agent: int = 1024
    """Requests to one agent under way at once, whoever asked, open-ended ones apart."""
    max_streams_per_principal: int = 16_384
    """Open-ended requests (watches, execs) of one person at once."""
    max_streams_per_agent: int = 32_768
    """Open-ended requests to one agent at once."""
