"""What a handler is told of its call."""

from __future__ import annotations

from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kas.reverse_tunnel.call import AgentCall
from kasbah.kit.secrets import Secret

AGENT = AgentInfo(agent_id=7, project_id=1, agent_name="a", project_path="g/p", default_branch="main")


def test_a_call_does_not_print_its_token():
    call = AgentCall(agent=AGENT, agent_token=Secret("glagent-hunter2"), connection_id=5)
    assert "hunter2" not in repr(call)
    assert "agent_id=7" in repr(call)


def test_calls_of_two_pods_differ():
    one, other = (AgentCall(agent=AGENT, agent_token=Secret("t"), connection_id=pod) for pod in (1, 2))
    assert one != other
