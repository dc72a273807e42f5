"""The messages on GitLab's wire, byte for byte and number for number: a change here is an incompatibility."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from kasbah.wire.pb.gitlab.agent.agent_configuration.rpc import rpc_pb2 as configuration
from kasbah.wire.pb.gitlab.agent.agent_registrar.rpc import rpc_pb2 as registrar
from kasbah.wire.pb.gitlab.agent.agent_tracker import agent_tracker_pb2 as tracker
from kasbah.wire.pb.gitlab.agent.agent_tracker.rpc import rpc_pb2 as tracker_rpc
from kasbah.wire.pb.gitlab.agent.agentcfg import agentcfg_pb2 as agentcfg
from kasbah.wire.pb.gitlab.agent.configuration_project.rpc import rpc_pb2 as configuration_project
from kasbah.wire.pb.gitlab.agent.entity import entity_pb2 as entity
from kasbah.wire.pb.gitlab.agent.event import event_pb2 as event
from kasbah.wire.pb.gitlab.agent.flux.rpc import rpc_pb2 as flux
from kasbah.wire.pb.gitlab.agent.gitlab_access.rpc import rpc_pb2 as gitlab_access
from kasbah.wire.pb.gitlab.agent.gitops.rpc import rpc_pb2 as gitops
from kasbah.wire.pb.gitlab.agent.grpctool import grpctool_pb2 as grpctool
from kasbah.wire.pb.gitlab.agent.kubernetes_api.rpc import rpc_pb2 as kubernetes_api
from kasbah.wire.pb.gitlab.agent.notifications.rpc import rpc_pb2 as notifications
from kasbah.wire.pb.gitlab.agent.prototool import prototool_pb2 as prototool
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.info import info_pb2 as info
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc import rpc_pb2 as tunnel


def _values(*values: str) -> prototool.Values:
    return prototool.Values(value=values)


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed


_VERSION = prototool.HttpRequest(method="GET", url_path="/version")

VECTORS: list[tuple[str, Message, str]] = [
    (
        "descriptor",
        tunnel.ConnectRequest(
            descriptor=tunnel.Descriptor(
                agent_descriptor=info.AgentDescriptor(
                    services=[
                        info.Service(
                            name="gitlab.agent.kubernetes_api.rpc.KubernetesApi",
                            methods=[info.Method(name="MakeRequest")],
                        )
                    ]
                )
            )
        ),
        (
            "0a420a400a3e0a2d6769746c61622e6167656e742e6b756265726e657465735f6170692e7270632e4b756265726e657465734170"
            "69120d0a0b4d616b6552657175657374"
        ),
    ),
    (
        "request_info",
        tunnel.ConnectResponse(
            request_info=tunnel.RequestInfo(
                method_name="/gitlab.agent.kubernetes_api.rpc.KubernetesApi/MakeRequest",
                meta={"traceparent": _values("00-x")},
            )
        ),
        (
            "0a530a3a2f6769746c61622e6167656e742e6b756265726e657465735f6170692e7270632e4b756265726e657465734170692f4d"
            "616b655265717565737412150a0b7472616365706172656e7412060a0430302d78"
        ),
    ),
    (
        "a carried message",
        tunnel.ConnectResponse(message=tunnel.Message(data=b"\x0a\x0b")),
        "12040a020a0b",
    ),
    ("close_send", tunnel.ConnectResponse(close_send=tunnel.CloseSend()), "1a00"),
    ("an empty header", tunnel.ConnectRequest(header=tunnel.Header()), "1200"),
    ("an empty trailer", tunnel.ConnectRequest(trailer=tunnel.Trailer()), "2200"),
    (
        "an error",
        tunnel.ConnectRequest(error=tunnel.Error(status=tunnel.Status(code=5, message="x"))),
        "2a070a050805120178",
    ),
    (
        "a request without a body",
        grpctool.HttpRequest(
            header=grpctool.HttpRequest.Header(
                request=prototool.HttpRequest(
                    method="GET", url_path="/version", header={"Accept": _values("*/*")}
                ),
                content_length=0,
            )
        ),
        "0a240a200a03474554120f0a0641636365707412050a032a2f2a1a082f76657273696f6e1800",
    ),
    (
        "a request with a body of unknown length",
        grpctool.HttpRequest(header=grpctool.HttpRequest.Header(request=_VERSION, content_length=-1)),
        "0a1c0a0f0a034745541a082f76657273696f6e18ffffffffffffffffff01",
    ),
    ("the request's trailer", grpctool.HttpRequest(trailer=grpctool.HttpRequest.Trailer()), "1a00"),
    ("the answer's trailer", grpctool.HttpResponse(trailer=grpctool.HttpResponse.Trailer()), "1a00"),
    (
        "upgradeData",
        grpctool.HttpRequest(upgradeData=grpctool.HttpRequest.UpgradeData(data=b"hi")),
        "22040a026869",
    ),
    (
        "an answer",
        grpctool.HttpResponse(
            header=grpctool.HttpResponse.Header(
                response=prototool.HttpResponse(status_code=200, status="200 OK")
            )
        ),
        "0a0d0a0b08c8011206323030204f4b",
    ),
    (
        "whom to impersonate",
        _packed(
            kubernetes_api.HeaderExtra(
                imp_config=kubernetes_api.ImpersonationConfig(
                    username="gitlab:user:bob", groups=["gitlab:user"]
                )
            )
        ),
        (
            "0a3f747970652e676f6f676c65617069732e636f6d2f6769746c61622e6167656e742e6b756265726e657465735f6170692e7270"
            "632e486561646572457874726112200a1e0a0f6769746c61623a757365723a626f62120b6769746c61623a75736572"
        ),
    ),
    (
        "a question for the configuration",
        configuration.ConfigurationRequest(
            agent_meta=entity.AgentMeta(version="v16.6.0", commit_id="abc", pod_namespace="ns", pod_name="p"),
            skip_register=True,
        ),
        "12150a077631362e362e3012036162631a026e732201701801",
    ),
]


@pytest.mark.parametrize(("message", "vector"), [v[1:] for v in VECTORS], ids=[v[0] for v in VECTORS])
def test_we_write_what_gitlab_reads_and_read_what_gitlab_writes(message: Message, vector: str):
    assert message.SerializeToString(deterministic=True).hex() == vector
    assert type(message).FromString(bytes.fromhex(vector)) == message


# Number, name and type of every field; `*` repeated, `?` optional with presence, `|` an arm of a oneof, `{}` a map.
FIELDS: dict[type[Message], str] = {
    prototool.Values: "1 value string*",
    prototool.HttpRequest: "1 method string, 2 header {}Values, 3 url_path string, 4 query {}Values",
    prototool.HttpResponse: "1 status_code int32, 2 status string, 3 header {}Values",
    grpctool.HttpRequest: "1 header Header|, 2 data Data|, 3 trailer Trailer|, 4 upgradeData UpgradeData|",
    grpctool.HttpRequest.Header: "1 request HttpRequest, 2 extra Any, 3 content_length int64?",
    grpctool.HttpRequest.Data: "1 data bytes",
    grpctool.HttpRequest.Trailer: "",
    grpctool.HttpRequest.UpgradeData: "1 data bytes",
    grpctool.HttpResponse: "1 header Header|, 2 data Data|, 3 trailer Trailer|, 4 upgradeData UpgradeData|",
    grpctool.HttpResponse.Header: "1 response HttpResponse",
    grpctool.HttpResponse.Data: "1 data bytes",
    grpctool.HttpResponse.Trailer: "",
    grpctool.HttpResponse.UpgradeData: "1 data bytes",
    entity.AgentMeta: (
        "1 version string, 2 commit_id string, 3 pod_namespace string, 4 pod_name string, "
        "5 kubernetes_version KubernetesVersion"
    ),
    entity.KubernetesVersion: "1 major string, 2 minor string, 3 git_version string, 4 platform string",
    entity.GitalyInfo: "1 address string, 2 token string, 3 features {}string",
    entity.GitalyRepository: (
        "2 storage_name string, 3 relative_path string, 4 git_object_directory string, "
        "5 git_alternate_object_directories string*, 6 gl_repository string, 8 gl_project_path string"
    ),
    event.GitPushEvent: "1 project Project",
    event.Project: "1 id int64, 2 full_path string",
    configuration.ConfigurationRequest: "1 commit_id string, 2 agent_meta AgentMeta, 3 skip_register bool",
    configuration.ConfigurationResponse: "1 configuration AgentConfiguration, 2 commit_id string",
    registrar.RegisterRequest: "1 agent_meta AgentMeta, 2 pod_id int64",
    registrar.RegisterResponse: "",
    registrar.UnregisterRequest: "1 agent_meta AgentMeta, 2 pod_id int64",
    info.Method: "1 name string",
    info.Service: "1 name string, 2 methods Method*",
    info.AgentDescriptor: "1 services Service*",
    tunnel.Descriptor: "1 agent_descriptor AgentDescriptor",
    tunnel.Header: "1 meta {}Values",
    tunnel.Message: "1 data bytes",
    tunnel.Trailer: "1 meta {}Values",
    tunnel.Status: "1 code int32, 2 message string, 3 details Any*",
    tunnel.Error: "1 status Status",
    tunnel.RequestInfo: "1 method_name string, 2 meta {}Values",
    tunnel.CloseSend: "",
    tunnel.ConnectRequest: (
        "1 descriptor Descriptor|, 2 header Header|, 3 message Message|, 4 trailer Trailer|, 5 error Error|"
    ),
    tunnel.ConnectResponse: "1 request_info RequestInfo|, 2 message Message|, 3 close_send CloseSend|",
    kubernetes_api.HeaderExtra: "1 imp_config ImpersonationConfig",
    kubernetes_api.ImpersonationConfig: "1 username string, 2 groups string*, 3 uid string, 4 extra ExtraKeyVal*",
    kubernetes_api.ExtraKeyVal: "1 key string, 2 val string*",
    gitlab_access.HeaderExtra: "1 module_name string",
    gitops.ObjectsToSynchronizeRequest: (
        "1 project_id string, 2 commit_id string, 3 paths PathCF*, 4 ref GitRefCF"
    ),
    gitops.PathCF: "1 glob string|, 2 file string|",
    gitops.GitRefCF: "1 tag string|, 2 branch string|, 3 commit string|",
    gitops.ObjectsToSynchronizeResponse: "1 header Header|, 2 object Object|, 3 trailer Trailer|",
    gitops.ObjectsToSynchronizeResponse.Header: "1 commit_id string, 2 project_id int64",
    gitops.ObjectsToSynchronizeResponse.Object: "1 source string, 2 data bytes",
    gitops.ObjectsToSynchronizeResponse.Trailer: "",
    flux.ReconcileProjectsRequest: "1 project Project*",
    flux.Project: "1 id string",
    flux.ReconcileProjectsResponse: "1 project Project",
    tracker.ConnectedAgentInfo: (
        "1 agent_meta AgentMeta, 2 connected_at Timestamp, 3 connection_id int64, 4 agent_id int64, 5 project_id int64"
    ),
    tracker_rpc.GetConnectedAgentsRequest: "1 project_id int64|, 2 agent_id int64|",
    tracker_rpc.GetConnectedAgentsResponse: "1 agents ConnectedAgentInfo*",
    configuration_project.ListAgentConfigFilesRequest: (
        "1 repository GitalyRepository, 2 gitaly_info GitalyInfo, 3 default_branch string"
    ),
    configuration_project.ListAgentConfigFilesResponse: "1 config_files AgentConfigFile*",
    configuration_project.AgentConfigFile: "1 name string, 2 agent_name string",
    notifications.GitPushEventRequest: "1 event GitPushEvent",
    notifications.GitPushEventResponse: "",
    agentcfg.ConfigurationFile: (
        "1 gitops GitopsCF, 2 observability ObservabilityCF, 4 ci_access CiAccessCF, "
        "5 container_scanning ContainerScanningCF, 6 user_access UserAccessCF, "
        "7 remote_development RemoteDevelopmentCF, 8 flux FluxCF"
    ),
    agentcfg.AgentConfiguration: (
        "1 gitops GitopsCF, 2 observability ObservabilityCF, 4 agent_id int64, 5 project_id int64, "
        "6 ci_access CiAccessCF, 7 container_scanning ContainerScanningCF, 8 project_path string, "
        "9 remote_development RemoteDevelopmentCF, 10 flux FluxCF, 11 gitlab_external_url string"
    ),
    agentcfg.GitopsCF: "1 manifest_projects ManifestProjectCF*",
    agentcfg.ManifestProjectCF: (
        "1 id string?, 4 default_namespace string, 5 paths PathCF*, 6 reconcile_timeout Duration, "
        "7 dry_run_strategy string, 8 prune bool|, 9 prune_timeout Duration, 10 prune_propagation_policy string, "
        "11 inventory_policy string, 12 ref GitRefCF"
    ),
    agentcfg.PathCF: "1 glob string",
    agentcfg.GitRefCF: "1 tag string|, 2 branch string|, 3 commit string|",
    agentcfg.ObservabilityCF: "1 logging LoggingCF, 2 google_profiler GoogleProfilerCF",
    agentcfg.LoggingCF: "1 level log_level_enum, 2 grpc_level log_level_enum?",
    agentcfg.GoogleProfilerCF: (
        "1 enabled bool, 2 project_id string, 3 credentials_file string, 4 debug_logging bool"
    ),
    agentcfg.CiAccessCF: "1 projects CiAccessProjectCF*, 2 groups CiAccessGroupCF*",
    agentcfg.CiAccessProjectCF: (
        "1 id string, 2 default_namespace string, 3 access_as CiAccessAsCF, 4 environments string*"
    ),
    agentcfg.CiAccessGroupCF: (
        "1 id string, 2 default_namespace string, 3 access_as CiAccessAsCF, 4 environments string*"
    ),
    agentcfg.CiAccessAsCF: (
        "1 agent CiAccessAsAgentCF|, 2 impersonate CiAccessAsImpersonateCF|, 3 ci_job CiAccessAsCiJobCF|"
    ),
    agentcfg.CiAccessAsImpersonateCF: (
        "1 username string, 2 groups string*, 3 uid string, 4 extra ExtraKeyValCF*"
    ),
    agentcfg.ExtraKeyValCF: "1 key string, 2 val string*",
    agentcfg.UserAccessCF: (
        "1 access_as UserAccessAsCF, 2 projects UserAccessProjectCF*, 3 groups UserAccessGroupCF*"
    ),
    agentcfg.UserAccessAsCF: "1 agent UserAccessAsAgentCF|, 3 user UserAccessAsUserCF|",
    agentcfg.UserAccessProjectCF: "1 id string",
    agentcfg.UserAccessGroupCF: "1 id string",
    agentcfg.ContainerScanningCF: (
        "1 vulnerability_report VulnerabilityReport, 2 cadence string, 3 resource_requirements ResourceRequirements"
    ),
    agentcfg.VulnerabilityReport: "1 namespaces string*, 2 filters VulnerabilityReportFilter*",
    agentcfg.VulnerabilityReportFilter: (
        "1 namespaces string*, 2 resources string*, 3 containers string*, 4 kinds string*"
    ),
    agentcfg.ResourceRequirements: "1 limits Resource, 2 requests Resource",
    agentcfg.Resource: "1 cpu string, 2 memory string",
    agentcfg.RemoteDevelopmentCF: (
        "1 enabled bool, 2 dns_zone string, 3 partial_sync_interval Duration, 4 full_sync_interval Duration, "
        "5 gitlab_workspaces_proxy GitLabWorkspacesProxy, 6 network_policy NetworkPolicyCF"
    ),
    agentcfg.GitLabWorkspacesProxy: "1 namespace string",
    agentcfg.NetworkPolicyCF: "1 enabled bool?",
    agentcfg.FluxCF: "1 webhook_receiver_url string",
}
_TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
}


def _type_of(field: FieldDescriptor) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return "{}" + _type_of(field.message_type.fields_by_name["value"])
    if field.enum_type is not None:
        return field.enum_type.name
    return _TYPES.get(field.type) or field.message_type.name


def _mark(field: FieldDescriptor, kind: str) -> str:
    if field.is_repeated:
        return "" if kind.startswith("{}") else "*"
    if field.containing_oneof is None:
        return ""
    synthetic = field.containing_oneof.name == f"_{field.name}"
    return "?" if synthetic else "|"


def _written(descriptor: Descriptor) -> str:
    lines = []
    for field in sorted(descriptor.fields, key=lambda field: field.number):
        kind = _type_of(field)
        lines.append(f"{field.number} {field.name} {kind}{_mark(field, kind)}")
    return ", ".join(lines)


@pytest.mark.parametrize(("message", "fields"), FIELDS.items(), ids=[m.DESCRIPTOR.full_name for m in FIELDS])
def test_every_field_has_the_number_the_name_and_the_type_of_gitlabs(message: type[Message], fields: str):
    assert _written(message.DESCRIPTOR) == fields
    assert message.DESCRIPTOR.full_name.startswith("gitlab.agent.")


def test_levels_of_logs_have_gitlabs_numbers():
    assert dict(agentcfg.log_level_enum.items()) == {"info": 0, "debug": 1, "warn": 2, "error": 3}
