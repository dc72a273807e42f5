"""The calls agentk makes to kas, by GitLab's names.

One constant a method; `wire.rpc` says what they are made of.
"""

from __future__ import annotations

from typing import Final

from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc import rpc_pb2 as configuration_pb
from kasbah.wire.pb.gitlab.agent.agent_registrar.rpc import rpc_pb2 as registrar_pb
from kasbah.wire.rpc import ServerStreamMethod, UnaryMethod

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
