from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kasbah.agentk.doctor import tunnel as module
from kasbah.agentk.doctor.tunnel import TunnelHops
from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings
from kasbah.kit.secrets import Secret


class Cluster:
    """Takes no streams."""

    def accept(self, *_: object) -> None: ...

    accept_unnamed = accept


def hops() -> TunnelHops:
    cluster: Any = Cluster()
    settings = ReverseTunnelSettings(address=parse_kas_address("ws://kas.example"))
    return TunnelHops(settings, Secret("token"), cluster, "agentk")


@pytest.mark.asyncio
async def test_idling_is_a_look_only_when_it_is_asked_for():
    assert [check.name for check in hops().checks("kas.websocket", 0)] == ["kas.token", "kas.ping"]
    idle = hops().checks("kas.websocket", 70)[-1]
    assert (idle.name, idle.needs) == ("kas.idle", ("kas.ping",))
    assert idle.limit_s > 70
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("unauthenticated", "token-unknown"),
        ("agent not found", "token-unknown"),
        ("forbidden", "token-forbidden"),
        ("unavailable", "hub-away"),
        ("too many pods of this agent are connected", "too-many-pods"),
        ("kas closed the connection", "tunnel-broken"),
    ],
)
def test_each_refusal_has_a_name(reason: str, fault: str):
    assert module._refusal(reason).fault == fault
