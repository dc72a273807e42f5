"""The tunnel itself: agentk's own, which comes up, answers what kas asks meanwhile, and goes down properly."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from kasbah.agentk.kubernetes_api.module import KubernetesApi
from kasbah.agentk.module import LatestValue
from kasbah.agentk.reverse_tunnel.connection import KasConnection
from kasbah.agentk.reverse_tunnel.dial import dial
from kasbah.agentk.reverse_tunnel.module import ReverseTunnel
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.errors import PeerError
from kasbah.kit.doctor.check import Check, FaultError, Finding
from kasbah.kit.secrets import Secret
from kasbah.kit.tasks import alongside
from kasbah.wire.methods import GET_CONFIGURATION, UNREGISTER
from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc.rpc_pb2 import ConfigurationRequest
from kasbah.wire.pb.gitlab.agent.agent_registrar.rpc.rpc_pb2 import UnregisterRequest
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration
from kasbah.wire.rpc import RpcError, StatusCode

_PINGS: Final = 3
_DRAIN_S: Final = 2.0
_REFUSED_WITHIN_S: Final = 5.0
_IDLE_MARGIN_S: Final = 10.0
_MARK: Final = "kas refused the connection: "

_RENEW: Final = "make a token with `kasbah agent token create` and put it where agentk reads it"
_REFUSALS: Final = {
    "unauthenticated": (
        "token-unknown",
        "kas does not know this token: it is wrong or revoked",
        _RENEW,
    ),
    "agent not found": ("token-unknown", "the agent of this token does not exist any more", _RENEW),
    "forbidden": (
        "token-forbidden",
        "the token is good, but the agent may not connect",
        "look at the agent and its project on the Git side: it may be blocked or archived",
    ),
    "unavailable": (
        "hub-away",
        "kas cannot ask the Git side about the token",
        "look at the log of kas: whether it reaches the Git side, and with the right secret",
    ),
    "too many pods of this agent are connected": (
        "too-many-pods",
        "as many pods of this agent are connected as may be",
        "stop some: is the token used in more than one cluster?",
    ),
}
_STATUSES: Final = {
    StatusCode.UNAUTHENTICATED: "unauthenticated",
    StatusCode.NOT_FOUND: "agent not found",
    StatusCode.PERMISSION_DENIED: "forbidden",
    StatusCode.RESOURCE_EXHAUSTED: "too many pods of this agent are connected",
}

MakeConnection = Callable[[asyncio.Transport, TunnelChoice], KasConnection]


class TunnelHops:
    """Opens agentk's tunnel once; what kas sends through it meanwhile is served as agentk serves it."""

    def __init__(
        self, settings: ReverseTunnelSettings, token: Secret, cluster: KubernetesApi, user_agent: str
    ) -> None:
        self._cluster = cluster
        self._wanted = asyncio.Event()
        self._is_known = False
        self._dialled: asyncio.Future[KasConnection] = asyncio.get_running_loop().create_future()
        self._tunnel = ReverseTunnel(
            settings,
            token,
            cluster.accept,
            user_agent=user_agent,
            grpc_acceptor=cluster.accept_unnamed,
            dial=self._dial_once,
        )

    @property
    def own_agent_id(self) -> int | None:
        """Who kas says we are."""
        return self._tunnel.agent_id

    async def run(self) -> None:
        """Serve until cancelled; nothing is dialled before the first look."""
        async with alongside(self._cluster.run(LatestValue[AgentConfiguration]())):
            await self._wanted.wait()
            await self._tunnel.run()

    async def leave(self) -> None:
        """Let running requests finish, shortly."""
        await self._tunnel.drain(_DRAIN_S)

    def checks(self, need: str, idle_s: float) -> list[Check]:
        """In order."""
        found = [
            Check(name="kas.token", doing="show the token to kas", look=self._show_token, needs=(need,)),
            Check(
                name="kas.ping",
                doing="ask kas something through the tunnel",
                look=self._ping,
                needs=("kas.token",),
            ),
        ]
        if idle_s:
            look, limit_s = lambda: self._stay_idle(idle_s), idle_s + _IDLE_MARGIN_S
            doing = f"keep the tunnel idle for {idle_s:g} s"
            found.append(Check(name="kas.idle", doing=doing, look=look, needs=("kas.ping",), limit_s=limit_s))
        return found

    async def _dial_once(
        self,
        settings: ReverseTunnelSettings,
        context: ssl.SSLContext | None,
        user_agent: str,
        make_connection: MakeConnection,
    ) -> KasConnection:
        """Agentk would try again; here the first time says it all."""
        if self._dialled.done():
            await asyncio.Event().wait()
        try:
            connection = await dial(settings, context, user_agent, make_connection)
        except PeerError as error:
            self._dialled.set_exception(error)
            raise
        self._dialled.set_result(connection)
        return connection

    async def _show_token(self) -> Finding:
        self._wanted.set()
        try:
            connection = await self._dialled
            await connection.state.admission()
        except PeerError as error:
            raise _refusal(str(error).removeprefix(_MARK)) from error
        await self._call()  # over gRPC kas looks at the token with the first call only
        agent = f"agent {connection.agent_id}" if connection.agent_id is not None else "an agent"
        return Finding(seen=f"kas knows the token: this is {agent}; the tunnel is up ({connection.kind})")

    async def _ping(self) -> Finding:
        times = [await self._call() for _ in range(_PINGS)]
        return Finding(seen=f"kas answers through the tunnel in {min(times) * 1000:.1f} ms")

    async def _call(self) -> float:
        """Take a pod off the list that never was on it: a call that changes nothing; how long it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._tunnel.rpc.unary(UNREGISTER, UnregisterRequest(pod_id=self._tunnel.pod_id))
        except RpcError as error:
            if error.code in _STATUSES:
                raise _refusal(_STATUSES[error.code]) from error
            if error.code is not StatusCode.UNIMPLEMENTED:
                raise _broken(str(error)) from error
            await self._ask_for_configuration()  # an older kas has answered, but not looked at the token
        return loop.time() - began

    async def _ask_for_configuration(self) -> None:
        """Every kas refuses this to strangers, and soon; a configuration itself may be long in coming."""
        if self._is_known:
            return
        answers = self._tunnel.rpc.server_stream(GET_CONFIGURATION, ConfigurationRequest())
        try:
            async with asyncio.timeout(_REFUSED_WITHIN_S):
                await anext(answers, None)
        except TimeoutError:
            pass
        except RpcError as error:
            raise _refusal(_STATUSES.get(error.code, str(error))) from error
        finally:
            await answers.aclose()
        self._is_known = True

    async def _stay_idle(self, idle_s: float) -> Finding:
        connection = await self._dialled
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(idle_s):
                await connection.state.closed.wait()
        except TimeoutError:
            await self._call()
            return Finding(
                seen=f"after {idle_s:g} s with nothing but its keep-alive the tunnel still answers"
            )
        raise FaultError(
            "tunnel-cut",
            f"the idle tunnel was cut after {loop.time() - began:.0f} s: {connection.failure or 'closed'}",
            "a proxy ends connections that are silent: let it wait longer than a minute "
            "(nginx: proxy_read_timeout, proxy_send_timeout; load balancers: idle timeout)",
        )


def _refusal(reason: str) -> FaultError:
    for text, (fault, seen, advice) in _REFUSALS.items():
        if reason.startswith(text):
            return FaultError(fault, seen, advice)
    return _broken(reason)


def _broken(reason: str) -> FaultError:
    return FaultError(
        "tunnel-broken",
        f"the tunnel does not come up or breaks: {reason}",
        "a proxy may take the handshake and not carry what follows: let it pass upgraded connections as bytes, "
        "unbuffered; try --kas-tunnel=grpc and --kas-tunnel=native, and look at the log of kas",
    )
