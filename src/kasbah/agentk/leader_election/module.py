"""Takes part in the election, and runs what only the leader may run while this pod is it.

The modules start with the newest configuration each time the lease is ours and are cancelled when it may not be any
more; when agentk stops, the lease is given back. The lease is GitLab's (`agent-<id>-lock` in the pod's namespace), so
pods of both makes may stand for election together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog
from prometheus_client import Gauge

from kasbah.agentk.leader_election import lease
from kasbah.agentk.leader_election.election import Election
from kasbah.agentk.leader_election.lease import LeaseObject, LeaseRecord
from kasbah.agentk.leader_election.settings import LeaderElectionSettings
from kasbah.agentk.module import LatestValue, Module
from kasbah.errors import PeerError
from kasbah.kit.jitter import chance
from kasbah.kit.tasks import alongside
from kasbah.kube.client import StatusError
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration

_log = structlog.get_logger()

_leading = Gauge("kasbah_agentk_leader", "1 while this pod leads the pods of its agent.")

_JITTER: Final = 1.2
_RELEASE_TIMEOUT_S: Final = 2.0
_NOT_FOUND: Final = 404


class Leases(Protocol):
    """What this module needs of the API server."""

    async def get_json(self, path: str) -> Any:
        """The decoded answer to a GET; raises `PeerError`."""

    async def send_json(self, method: str, path: str, content: object) -> Any:
        """The decoded answer to a POST or PUT; raises `PeerError`."""


class LeaderElection:
    """A module that is made of modules.

    Args:
        leases: the API server.
        namespace: where the lease is.
        identity: this pod's name.
        modules: those that declare `leader_only`, each with its slot.
    """

    name = "leader_election"
    leader_only = False

    def __init__(
        self,
        leases: Leases,
        namespace: str,
        identity: str,
        modules: Sequence[tuple[Module, LatestValue[AgentConfiguration]]],
        settings: LeaderElectionSettings | None = None,
    ) -> None:
        self._leases = leases
        self._path = f"/apis/{lease.API_VERSION}/namespaces/{namespace}/leases"
        self._modules = modules
        self._settings = settings or LeaderElectionSettings()
        self._election = Election(identity, self._settings)
        self._name = ""
        self._object: LeaseObject | None = None
        self._object_is_fresh = False
        self._complaint = ""

    def validate(self, configuration: AgentConfiguration) -> None:
        """Only who we are matters here."""

    async def run(self, configurations: LatestValue[AgentConfiguration]) -> None:
        """Stand for election from the first configuration on: it says which agent this is."""
        async for configuration in configurations:
            self._name = f"agent-{configuration.agent_id}-lock"
            break
        try:
            while True:
                await self._acquire()
                await self._lead()
        finally:
            await self._give_back()

    async def _acquire(self) -> None:
        while True:
            if await self._try():
                return
            await asyncio.sleep(self._settings.retry_s * (1 + chance() * _JITTER))

    async def _lead(self) -> None:
        _log.info("this pod leads", lease=self._name)
        _leading.set(1)
        try:
            async with alongside(*(module.run(values) for module, values in self._modules)):
                await self._keep()
        finally:
            _leading.set(0)
        _log.warning("this pod does not lead any more", lease=self._name, leader=self._election.holder)

    async def _keep(self) -> None:
        """Renew until that fails for too long, or somebody else has the lease."""
        try:
            while self._election.is_leader:
                async with asyncio.timeout_at(self._election.leads_until):
                    await asyncio.sleep(self._settings.retry_s)
                    await self._try()
        except TimeoutError:
            return

    async def _try(self) -> bool:
        """Look at the lease unless we know it, and write to it if we may; whether it is ours now."""
        try:
            if not self._object_is_fresh or not self._election.is_leader:
                await self._look()
            claim = self._election.claim(_now(), _stamp())
            if claim is None:
                return False
            await self._write(claim)
        except (PeerError, OSError) as error:
            self._complain(error)
            return False
        self._complaint = ""
        return True

    async def _look(self) -> None:
        try:
            self._object = await self._leases.get_json(f"{self._path}/{self._name}")
        except StatusError as error:
            if error.status != _NOT_FOUND:
                raise
            self._object = None
        self._election.seen(None if self._object is None else lease.read(self._object), _now())

    async def _write(self, record: LeaseRecord) -> None:
        began, self._object_is_fresh = _now(), False
        if self._object is None:
            self._object = await self._leases.send_json("POST", self._path, lease.new(self._name, record))
        else:
            changed = lease.with_record(self._object, record)
            self._object = await self._leases.send_json("PUT", f"{self._path}/{self._name}", changed)
        self._object_is_fresh = True
        self._election.written(record, began)

    async def _give_back(self) -> None:
        record = self._election.farewell(_stamp())
        if record is None:
            return
        try:
            async with asyncio.timeout(_RELEASE_TIMEOUT_S):
                await self._write(record)
        except (PeerError, OSError, TimeoutError) as error:
            _log.warning("the lease was not given back, the others wait for its end", error=str(error))

    def _complain(self, error: Exception) -> None:
        """Once for each complaint, not every two seconds."""
        if str(error) != self._complaint:
            self._complaint = str(error)
            _log.warning(
                "no look at the lease, or no writing to it",
                lease=self._name,
                error=str(error),
                hint="agentk needs get, create and update of leases.coordination.k8s.io in its namespace",
            )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _stamp() -> str:
    return lease.timestamp(datetime.now(UTC))
