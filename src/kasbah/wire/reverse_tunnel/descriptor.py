"""What an agent serves: said first on every tunnel, and looked up for every call."""

from __future__ import annotations

from typing import Final

from kasbah.wire.pb.gitlab.agent.reverse_tunnel.info.info_pb2 import AgentDescriptor, Method, Service
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import ConnectRequest, Descriptor
from kasbah.wire.rpc import RpcError, StatusCode

MAX_DESCRIPTOR_BYTES: Final = 64 * 1024
MAX_SERVICES: Final = 64
MAX_METHODS: Final = 64
"""Of one service."""
_MAX_NAME_BYTES = 256
KUBERNETES_API_DESCRIPTOR: Final = ConnectRequest(
    descriptor=Descriptor(
        agent_descriptor=AgentDescriptor(
            services=[
                Service(
                    name="gitlab.agent.kubernetes_api.rpc.KubernetesApi", methods=[Method(name="MakeRequest")]
                )
            ]
        )
    )
).SerializeToString()
"""What our agentk says first: it serves requests to the Kubernetes API."""


def served_paths(descriptor: Descriptor) -> frozenset[str]:
    """The methods that an agent serves, as `/package.Service/Method`.

    Raises:
        RpcError: INVALID_ARGUMENT: a name is missing or too long, or there are too many.
    """
    if not descriptor.HasField("agent_descriptor"):
        raise _refused("it says nothing")
    services = descriptor.agent_descriptor.services
    if len(services) > MAX_SERVICES:
        raise _refused(f"it has over {MAX_SERVICES} services")
    paths = set()
    for service in services:
        if len(service.methods) > MAX_METHODS:
            raise _refused(f"a service has over {MAX_METHODS} methods")
        _check_name(service.name)
        for method in service.methods:
            _check_name(method.name)
            paths.add(f"/{service.name}/{method.name}")
    return frozenset(paths)


def _check_name(name: str) -> None:
    if not name or len(name) > _MAX_NAME_BYTES or "/" in name:
        raise _refused("a name is empty, too long or holds a slash")


def _refused(why: str) -> RpcError:
    return RpcError(StatusCode.INVALID_ARGUMENT, f"the descriptor cannot be used: {why}")
