"""Ends open-ended streams whose credential is no longer allowed.

Every watch, followed log and exec holds a lease, and so does every answer that does not say how long it is, or that takes
longer than a grant serves new requests. Each credential with leases is authorised again every few seconds; a refusal,
or another identity than the stream runs under, cuts its streams at once, and silence of the Git side cuts them when the
lease has run out (within ten seconds).
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog
from prometheus_client import Counter, Gauge

from kasbah.errors import PeerError
from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.kubernetes_api.authorizer import Authorizer
from kasbah.kas.kubernetes_api.directory import AccessDeniedError
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.wire.credential import Credential

_log = structlog.get_logger()
_TICK_S = 0.5

LEASED_STREAMS: Final = Gauge("kasbah_kas_kubernetes_api_leased_streams", "Open-ended streams under a lease")
STREAMS_CUT: Final = Counter(
    "kasbah_kas_kubernetes_api_streams_cut",
    "Open-ended streams ended because they are not allowed any more",
    ["reason"],
)


class Leased(Protocol):
    """An open-ended stream."""

    def lease_ended(self) -> None:
        """Not allowed any more: no byte may flow from now on."""


class _Lease:
    """The streams of one grant of one credential."""

    __slots__ = ("checking", "credential", "grant", "recheck_at", "streams", "until")

    def __init__(self, credential: Credential, grant: Grant, recheck_at: float, until: float) -> None:
        self.credential = credential
        self.grant = grant
        self.streams: set[Leased] = set()
        self.recheck_at = recheck_at
        self.until = until
        self.checking = False


class LeaseKeeper:
    """Holds all leases of this process; `run` it as long as streams may run."""

    def __init__(self, authorizer: Authorizer, settings: KubernetesApiSettings, clock: CoarseClock) -> None:
        self._authorizer = authorizer
        self._settings = settings
        self._clock = clock
        self._leases: dict[str, _Lease] = {}

    def hold(self, credential: Credential, grant: Grant, stream: Leased) -> None:
        """This stream runs under this grant from now on."""
        lease = self._leases.get(grant.grant_id)
        if lease is None:
            now = self._clock.now  # the grant itself may be some seconds old: ask soon
            lease = _Lease(credential, grant, now, now + self._settings.lease_s - self._settings.grant_ttl_s)
            self._leases[grant.grant_id] = lease
        lease.streams.add(stream)
        LEASED_STREAMS.inc()

    def release(self, grant: Grant, stream: Leased) -> None:
        """This stream has ended."""
        lease = self._leases.get(grant.grant_id)
        if lease is None or stream not in lease.streams:
            return
        lease.streams.remove(stream)
        LEASED_STREAMS.dec()
        if not lease.streams:
            del self._leases[grant.grant_id]

    async def run(self) -> None:
        """Check leases until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self.sweep(group)
                await asyncio.sleep(_TICK_S)

    def sweep(self, group: asyncio.TaskGroup) -> None:
        """Start the checks that are due; cut what has run out."""
        now = self._clock.now
        for lease in list(self._leases.values()):
            if lease.until <= now:
                self._cut(lease, "expired")
            elif lease.recheck_at <= now and not lease.checking:
                lease.checking = True
                group.create_task(self._check(lease), name="lease")

    async def _check(self, lease: _Lease) -> None:
        try:
            granted, asked_at = await self._authorizer.authorize_again(
                lease.credential, max_age_s=self._settings.recheck_s / 2
            )
        except AccessDeniedError:
            self._cut(lease, "denied")
            return
        except PeerError as error:
            _log.warning("lease not renewed", grant_id=lease.grant.grant_id, error=str(error))
            lease.recheck_at = self._clock.now + 1
            return
        except Exception:  # noqa: BLE001 - the border: the other leases are kept up, and this one runs out
            _log.exception("a lease check crashed", grant_id=lease.grant.grant_id)
            lease.recheck_at = self._clock.now + 1
            return
        finally:
            lease.checking = False
        if granted.grant_id != lease.grant.grant_id and granted.identity != lease.grant.identity:
            self._cut(lease, "identity_changed")
            return
        lease.recheck_at = asked_at + self._settings.recheck_s
        lease.until = asked_at + self._settings.lease_s

    def _cut(self, lease: _Lease, reason: str) -> None:
        # A check may end after its lease's last stream, when a newer lease of the grant stands in its place.
        if self._leases.get(lease.grant.grant_id) is lease:
            del self._leases[lease.grant.grant_id]
        streams, lease.streams = lease.streams, set()
        if not streams:
            return
        LEASED_STREAMS.dec(len(streams))
        STREAMS_CUT.labels(reason).inc(len(streams))
        _log.info("streams cut", reason=reason, agent_id=lease.grant.agent_id, streams=len(streams))
        for stream in streams:
            try:
                stream.lease_ended()
            except Exception:  # noqa: BLE001 - the border: the others are cut all the same
                _log.exception("a stream could not be cut", agent_id=lease.grant.agent_id)
