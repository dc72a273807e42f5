"""The calls between agentk, kas and the Git side, by GitLab's names.

First those that agentk makes to kas, then the one that kas makes to agentk, then those that the Git side makes to kas.
One constant a method; `wire.rpc` says what they are made of.
"""

from __future__ import annotations

from typing import Final

from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc import rpc_pb2 as configuration_pb
from kasbah.wire.pb.gitlab.agent.agent_registrar.rpc import rpc_pb2 as registrar_pb
from kasbah.wire.pb.gitlab.agent.agent_tracker.rpc import rpc_pb2 as tracker_pb
from kasbah.wire.pb.gitlab.agent.configuration_project.rpc import rpc_pb2 as configuration_project_pb
from kasbah.wire.pb.gitlab.agent.flux.rpc import rpc_pb2 as flux_pb
from kasbah.wire.pb.gitlab.agent.gitops.rpc import rpc_pb2 as gitops_pb
from kasbah.wire.pb.gitlab.agent.grpctool import grpctool_pb2
from kasbah.wire.pb.gitlab.agent.notifications.rpc import rpc_pb2 as notifications_pb
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc import rpc_pb2 as reverse_tunnel_pb
from kasbah.wire.rpc import BidiMethod, ServerStreamMethod, UnaryMethod

GET_CONFIGURATION: Final = ServerStreamMethod(
    "/gitlab.agent.agent_configuration.rpc.AgentConfiguration/GetConfiguration",
    configuration_pb.ConfigurationRequest,
    configuration_pb.ConfigurationResponse,
)
REGISTER: Final = UnaryMethod(
    "/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Register",
    registrar_pb.RegisterRequest,
    registrar_pb.RegisterResponse,
)
UNREGISTER: Final = UnaryMethod(
    "/gitlab.agent.agent_registrar.rpc.AgentRegistrar/Unregister",
    registrar_pb.UnregisterRequest,
    registrar_pb.UnregisterResponse,
)
CONNECT: Final = BidiMethod(
    "/gitlab.agent.reverse_tunnel.rpc.ReverseTunnel/Connect",
    reverse_tunnel_pb.ConnectRequest,
    reverse_tunnel_pb.ConnectResponse,
)
GITLAB_ACCESS_MAKE_REQUEST: Final = BidiMethod(
    "/gitlab.agent.gitlab_access.rpc.GitlabAccess/MakeRequest",
    grpctool_pb2.HttpRequest,
    grpctool_pb2.HttpResponse,
)
GET_OBJECTS_TO_SYNCHRONIZE: Final = ServerStreamMethod(
    "/gitlab.agent.gitops.rpc.Gitops/GetObjectsToSynchronize",
    gitops_pb.ObjectsToSynchronizeRequest,
    gitops_pb.ObjectsToSynchronizeResponse,
)
RECONCILE_PROJECTS: Final = ServerStreamMethod(
    "/gitlab.agent.flux.rpc.GitLabFlux/ReconcileProjects",
    flux_pb.ReconcileProjectsRequest,
    flux_pb.ReconcileProjectsResponse,
)

KUBERNETES_API_MAKE_REQUEST: Final = BidiMethod(
    "/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest",
    grpctool_pb2.HttpRequest,
    grpctool_pb2.HttpResponse,
)

GET_CONNECTED_AGENTS: Final = UnaryMethod(
    "/gitlab.agent.agent_tracker.rpc.AgentTracker/GetConnectedAgents",
    tracker_pb.GetConnectedAgentsRequest,
    tracker_pb.GetConnectedAgentsResponse,
)
LIST_AGENT_CONFIG_FILES: Final = UnaryMethod(
    "/gitlab.agent.configuration_project.rpc.ConfigurationProject/ListAgentConfigFiles",
    configuration_project_pb.ListAgentConfigFilesRequest,
    configuration_project_pb.ListAgentConfigFilesResponse,
)
GIT_PUSH_EVENT: Final = UnaryMethod(
    "/gitlab.agent.notifications.rpc.Notifications/GitPushEvent",
    notifications_pb.GitPushEventRequest,
    notifications_pb.GitPushEventResponse,
)
