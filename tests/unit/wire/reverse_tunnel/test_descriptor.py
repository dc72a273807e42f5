"""What an agent says it serves, within limits."""

from __future__ import annotations

import pytest

from kasbah.wire.pb.gitlab.agent.reverse_tunnel.info.info_pb2 import AgentDescriptor, Method, Service
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import ConnectRequest, Descriptor
from kasbah.wire.reverse_tunnel.descriptor import (
    KUBERNETES_API_DESCRIPTOR,
    MAX_METHODS,
    MAX_SERVICES,
    served_paths,
)
from kasbah.wire.rpc import RpcError, StatusCode

MAKE_REQUEST = "/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest"


def descriptor(*services: Service) -> Descriptor:
    return Descriptor(agent_descriptor=AgentDescriptor(services=services))


def test_our_agent_serves_requests_to_the_kubernetes_api():
    assert served_paths(ConnectRequest.FromString(KUBERNETES_API_DESCRIPTOR).descriptor) == {MAKE_REQUEST}


def test_an_agent_may_serve_what_we_have_never_heard_of():
    service = Service(name="a.B", methods=[Method(name="C"), Method(name="D")])
    assert served_paths(descriptor(service)) == {"/a.B/C", "/a.B/D"}


def test_as_much_as_is_allowed_is_allowed():
    services = [
        Service(name=f"s{i}", methods=[Method(name=f"m{j}") for j in range(MAX_METHODS)])
        for i in range(MAX_SERVICES)
    ]
    assert len(served_paths(descriptor(*services))) == MAX_SERVICES * MAX_METHODS


@pytest.mark.parametrize(
    "refused",
    [
        Descriptor(),
        descriptor(*(Service(name=f"s{i}") for i in range(MAX_SERVICES + 1))),
        descriptor(Service(name="s", methods=[Method(name=f"m{i}") for i in range(MAX_METHODS + 1)])),
        descriptor(Service()),
        descriptor(Service(name="s", methods=[Method()])),
        descriptor(Service(name="/s")),
        descriptor(Service(name="s", methods=[Method(name="a/b")])),
        descriptor(Service(name="s" * 257)),
    ],
    ids=range(8),
)
def test_anything_else_is_refused(refused: Descriptor):
    with pytest.raises(RpcError) as caught:
        served_paths(refused)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT
