"""The calls' names and messages, against GitLab's descriptors and golden vectors."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from kasbah.wire import methods
from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc import rpc_pb2 as configuration_pb
from kasbah.wire.pb.gitlab.agent.agent_registrar.rpc import rpc_pb2 as registrar_pb
from kasbah.wire.pb.gitlab.agent.agentcfg import agentcfg_pb2
from kasbah.wire.pb.gitlab.agent.entity import entity_pb2
from kasbah.wire.pb.gitlab.agent.gitlab_access.rpc import rpc_pb2 as gitlab_access_pb
from kasbah.wire.pb.gitlab.agent.kubernetes_api.rpc import rpc_pb2 as kubernetes_api_pb
from kasbah.wire.rpc import BidiMethod, Method, ServerStreamMethod, UnaryMethod

META = entity_pb2.AgentMeta(version="v16.6.0", commit_id="abc", pod_namespace="ns", pod_name="p")
GOLDEN: list[tuple[Message, str]] = [
    (
        configuration_pb.ConfigurationRequest(agent_meta=META, skip_register=True),
        "12150a077631362e362e3012036162631a026e732201701801",
    ),
    (
        registrar_pb.RegisterRequest(agent_meta=META, pod_id=5),
        "0a150a077631362e362e3012036162631a026e732201701005",
    ),
    (agentcfg_pb2.AgentConfiguration(agent_id=7, project_id=31, project_path="a/b"), "2007281f4203612f62"),
    (agentcfg_pb2.AgentConfiguration(gitlab_external_url="u"), "5a0175"),
    (agentcfg_pb2.UserAccessAsCF(user=agentcfg_pb2.UserAccessAsUserCF()), "1a00"),
    (agentcfg_pb2.CiAccessAsCF(ci_job=agentcfg_pb2.CiAccessAsCiJobCF()), "1a00"),
    (agentcfg_pb2.LoggingCF(level="debug", grpc_level="info"), "08011000"),
]
# The calls that carry HTTP share their messages; the files that declare their services are loaded for these tests.
_DECLARED_ELSEWHERE = (gitlab_access_pb, kubernetes_api_pb)


@pytest.mark.parametrize(("message", "expected"), GOLDEN)
def test_a_message_has_the_bytes_that_gitlab_gives_it(message: Message, expected: str):
    assert message.SerializeToString(deterministic=True).hex() == expected


@pytest.mark.parametrize(
    "method",
    [
        found
        for found in vars(methods).values()
        if isinstance(found, UnaryMethod | ServerStreamMethod | BidiMethod)
    ],
    ids=lambda method: method.path,
)
def test_a_call_is_the_one_that_the_service_declares(method: Method):
    service_name, method_name = method.path.removeprefix("/").split("/")
    service = descriptor_pool.Default().FindServiceByName(service_name)
    declared = service.methods_by_name[method_name]
    assert declared.input_type is method.request.DESCRIPTOR
    assert declared.output_type is method.response.DESCRIPTOR
    assert declared.client_streaming == isinstance(method, BidiMethod)
    assert declared.server_streaming == isinstance(method, ServerStreamMethod | BidiMethod)


def test_numbers_that_gitlab_retired_stay_free():
    assert 3 not in agentcfg_pb2.ConfigurationFile.DESCRIPTOR.fields_by_number
    assert 3 not in agentcfg_pb2.AgentConfiguration.DESCRIPTOR.fields_by_number
