"""Settings of the private API, with the reasons for their defaults."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

from kasbah.kas.http_server.server import Listen


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateApiSettings:
    listens: Sequence[Listen]
    """Where other replicas reach this one; agents and people must not."""
    own_url: str
    """By which URL they do; `own_url.find_own_url` knows it."""
    secret: bytes = field(repr=False)
    """What all kas of the deployment share, decoded; 32 bytes or more."""
    tls: ssl.SSLContext | None = None
    """For dialling `grpcs` URLs: trusts the authority of the replicas' certificates. None: the machine's own."""
    server_name: str = ""
    """The name in every replica's certificate (`OWN_PRIVATE_API_HOST`); empty: the host of the URL."""
    dial_timeout_s: float = 1.0
    """From the socket to the end of the handshake, in seconds: replicas are near, and a dead one must not cost more."""
    accept_timeout_s: float = 2.0
    """For a replica to take or refuse a request, in seconds."""
    busy_wait_s: float = 1.0
    """How long another replica's request may wait for an agent that is here and busy, in seconds; it must be told
    within its `accept_timeout_s`."""
    route_wait_s: float = 5.0
    """How long a request that every known replica has refused may look for another, in seconds."""
    idle_s: float = 3600.0
    """A connection without a request for this long is closed, in seconds."""
    max_connection_age_s: float = 7200.0
    """A connection that was dialled by another replica drains after this, in seconds, and is dialled again."""
