from __future__ import annotations

from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.pod import Admitted
from kasbah.kit.secrets import Secret
from tests.doubles.tunnel_pair import TunnelPair

AGENT = AgentInfo(agent_id=7, project_id=1, agent_name="a", project_path="g/p", default_branch="main")


def test_what_is_known_of_a_pod_does_not_print_its_token():
    admitted = Admitted(
        token=Secret("glagent-hunter2"), agent=AGENT, pod_id=5, tunnel=TunnelPair().kas.tunnel
    )
    assert "hunter2" not in repr(admitted)
