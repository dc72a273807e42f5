"""What a pod says of itself cannot hurt who reads it."""

from __future__ import annotations

from kasbah.kas.agent_tracker import meta
from kasbah.kas.agent_tracker.tracker import ClusterVersion
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import AgentMeta, KubernetesVersion

AGENT = AgentInfo(agent_id=7, project_id=31, agent_name="a", project_path="a/b", default_branch="main")


def test_values_are_short_and_printable():
    said = AgentMeta(version="v1\n\x1b[31m", pod_name="p" * 10_000_000, pod_namespace="ns")
    agent = meta.connected_agent(AGENT, 5, said)
    assert (agent.version, agent.pod_name, agent.pod_namespace) == ("v1[31m", "p" * 256, "ns")


def test_the_version_of_the_cluster_is_kept_whole_and_as_harmless():
    said = KubernetesVersion(major="1", minor="36+", git_version="v1.36.1\n", platform="linux/amd64")
    assert meta.connected_agent(AGENT, 5, AgentMeta(kubernetes_version=said)).kubernetes_version == (
        ClusterVersion(major="1", minor="36+", git_version="v1.36.1", platform="linux/amd64")
    )
