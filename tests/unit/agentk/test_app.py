from __future__ import annotations

import pytest

from kasbah.agentk import settings
from kasbah.agentk.app import Agentk
from kasbah.agentk.module import LatestValue
from kasbah.kube.access import ClusterAccess
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration

ACCESS = ClusterAccess(host="api", port=6443)


class Lonely:
    """A module of which one in all pods is enough."""

    name = "lonely"
    leader_only = True

    def validate(self, configuration: AgentConfiguration) -> None: ...

    async def run(self, configurations: LatestValue[AgentConfiguration]) -> None: ...


def made() -> settings.AgentkSettings:
    return settings.parse(["--kas-address=ws://kas.test"], {"AGENTK_TOKEN": "glagent-abc"}, "laptop")


@pytest.mark.asyncio
async def test_the_parts_fit_together_and_none_begins_before_it_runs():
    Agentk(made(), ACCESS)


@pytest.mark.asyncio
async def test_an_election_is_held_only_when_something_needs_it():
    assert not Agentk(made(), ACCESS)._elections
    agentk = Agentk(made(), ACCESS, [Lonely()])
    assert [module.name for module, _ in agentk._elections] == ["leader_election"]
    assert "lonely" not in [module.name for module, _ in agentk._everywhere]
    assert {"lonely", "leader_election"} <= {module.name for module, _ in agentk._configuration._modules}
