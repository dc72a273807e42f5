"""What a pod says about itself, made harmless: short, printable, one line a value."""

from __future__ import annotations

from typing import Final

from kasbah.kas.agent_tracker.tracker import ClusterVersion, ConnectedAgent
from kasbah.kas.hub_client.records import AgentInfo
from kasbah.wire.pb.gitlab.agent.entity.entity_pb2 import AgentMeta

_MAX_CHARACTERS: Final = 256


def connected_agent(agent: AgentInfo, connection_id: int, meta: AgentMeta) -> ConnectedAgent:
    """The pod as it is shown to people."""
    cluster = meta.kubernetes_version
    return ConnectedAgent(
        agent_id=agent.agent_id,
        project_id=agent.project_id,
        connection_id=connection_id,
        version=_harmless(meta.version),
        commit_id=_harmless(meta.commit_id),
        pod_namespace=_harmless(meta.pod_namespace),
        pod_name=_harmless(meta.pod_name),
        kubernetes_version=ClusterVersion(
            major=_harmless(cluster.major),
            minor=_harmless(cluster.minor),
            git_version=_harmless(cluster.git_version),
            platform=_harmless(cluster.platform),
        ),
    )


def _harmless(text: str) -> str:
    return "".join(character for character in text[:_MAX_CHARACTERS] if character.isprintable())
