"""What a configuration file means, and how its faults are named."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from kasbah.kas.agent_configuration import reader, schema
from kasbah.kas.agent_configuration.reader import InvalidConfigurationError, UnreadableConfigurationError

WHOLE = """
gitops:
  manifest_projects:
  - id: acme/shop
    ref: {branch: main}
    default_namespace: shop
    paths: [{glob: '/**/*.yaml'}]
    reconcile_timeout: 3600s
    dry_run_strategy: none
    prune: false
    prune_timeout: 0.500s
    prune_propagation_policy: foreground
    inventory_policy: adopt_all
observability:
  logging: {level: debug, grpc_level: info}
  google_profiler: {enabled: true, project_id: p, credentials_file: f, debug_logging: true}
ci_access:
  projects:
  - id: acme/shop
    default_namespace: shop
    access_as: {ci_job: {}}
    environments: [prod, review/*]
    protected_branches_only: true
    resource_management: {enabled: true}
    annotations: {team: shop}
  groups:
  - id: acme
    access_as: {impersonate: {username: u, uid: '1', groups: [a], extra: [{key: k, val: [v]}]}}
  instance: {access_as: {agent: {}}}
user_access:
  access_as: {user: {}}
  projects: [{id: acme/shop}]
  groups: [{id: acme/platform}]
container_scanning:
  cadence: 0 2 * * *
  vulnerability_report: {namespaces: [a], filters: [{kinds: [Pod]}], resource_types: [Pod]}
  resource_requirements: {limits: {cpu: 500m, memory: 500Mi, ephemeral_storage: 3Gi}}
  scanner_timeout: 300s
  report_max_size: '100000000'
remote_development:
  enabled: true
  dns_zone: workspaces.example
  partial_sync_interval: 10s
  network_policy: {enabled: false, egress: [{allow: 0.0.0.0/0, except: [10.0.0.0/8]}]}
  workspaces_quota: -1
  labels: {a: b}
flux:
  webhook_receiver_url: http://webhook-receiver.flux-system.svc.cluster.local
"""


@pytest.mark.parametrize("text", [None, b"", b"\n\n", b"# nothing yet\n", b"---\n", b"{}", b"ci_access:\n"])
def test_a_blank_or_missing_file_is_an_empty_configuration(text: bytes | None):
    read = reader.read(text)
    assert read.document == {}
    assert read.file.ByteSize() == 0


def test_a_whole_file_is_read_into_gitlabs_message():
    file = reader.read(WHOLE.encode()).file
    project = file.gitops.manifest_projects[0]
    assert (project.ref.branch, project.HasField("prune"), project.prune) == ("main", True, False)
    assert (project.reconcile_timeout.seconds, project.prune_timeout.nanos) == (3600, 500_000_000)
    assert (file.observability.logging.level, file.observability.logging.HasField("grpc_level")) == (1, True)
    assert file.ci_access.projects[0].access_as.WhichOneof("as") == "ci_job"
    assert file.user_access.access_as.WhichOneof("as") == "user"
    assert file.container_scanning.resource_requirements.limits.memory == "500Mi"


def test_the_json_holds_gitlabs_keys_as_protobuf_writes_them_and_ours_beside():
    read = reader.read(WHOLE.encode())
    document = dict(read.document)
    assert document["ci_access"]["projects"][0]["annotations"] == {"team": "shop"}
    assert document["ci_access"]["instance"] == {"access_as": {"agent": {}}}
    assert document["container_scanning"]["report_max_size"] == 100_000_000
    for section in ("gitops", "user_access", "observability", "flux"):
        message = getattr(read.file, section)
        assert json_format.MessageToDict(message, preserving_proto_field_name=True) == document[section] | (
            {"logging": {"level": "debug", "grpc_level": "info"}} if section == "observability" else {}
        )


UNREADABLE = [
    ("user_acess: {}", "user_acess: unknown key; did you mean user_access?"),
    ("userAccess: {}", "userAccess: unknown key; did you mean user_access?"),
    ("zzz: {}", "zzz: unknown key; known here: gitops, observability, ci_access"),
    ("user_access: {access_as: {agent: {x: 1}}}", "user_access.access_as.agent.x: unknown key; write {}"),
    ("user_access: {projects: [{id: 1}]}", "user_access.projects[0].id: expected a string, got a number"),
    (
        "user_access: {projects: [{id: on}]}",
        "user_access.projects[0].id: expected a string, got true or false",
    ),
    ("user_access: {projects: [{id: [a]}]}", "user_access.projects[0].id: expected a string, got a list"),
    ("user_access: {projects: [acme]}", "user_access.projects[0]: expected a mapping, got a string"),
    ("user_access: {projects: [~]}", "user_access.projects[0]: expected a mapping, got nothing"),
    ("user_access: {projects: acme/shop}", "user_access.projects: expected a list, got a string"),
    ("user_access: [a]", "user_access: expected a mapping, got a list"),
    (
        "user_access: {access_as: {agent: {}, user: {}}}",
        "user_access.access_as: only one of agent, user can be",
    ),
    (
        "ci_access: {projects: [{id: a, environments: [~]}]}",
        "environments[0]: expected a string, got nothing",
    ),
    (
        "ci_access: {projects: [{id: a, annotations: {b: 1}}]}",
        "annotations.b: expected a string, got a number",
    ),
    ("ci_access: {projects: [{id: a, annotations: []}]}", "annotations: expected a mapping, got a list"),
    ("ci_access: {projects: [{id: a, protected_branches_only: 1}]}", "expected true or false, got a number"),
    (
        "observability: {logging: {level: verbose}}",
        "level: expected one of info, debug, warn, error, got a string",
    ),
    ("observability: {logging: {level: 1}}", "observability.logging.level: expected one of info, debug"),
    (
        "remote_development: {partial_sync_interval: 10}",
        "expected a duration in seconds such as 300s, got a number",
    ),
    (
        "remote_development: {partial_sync_interval: 1h}",
        "expected a duration in seconds such as 300s, got a string",
    ),
    ("remote_development: {partial_sync_interval: 999999999999s}", "expected a duration in seconds"),
    (
        "remote_development: {workspaces_quota: 1.5}",
        "workspaces_quota: expected a whole number, got a number",
    ),
    ("remote_development: {workspaces_quota: 99999999999999999999}", "expected a whole number"),
    ("[]", "expected a mapping, got a list"),
    ("hello", "expected a mapping, got a string"),
    ("a: 1\na: 2", "line 2, column 1: the key a is there twice"),
    ("a: [", "line 2, column 1: did not find expected node content"),
]
INVALID = [
    ("user_access: {projects: [{}]}", "user_access.projects[0].id: is required"),
    ("user_access: {groups: [{id: ''}]}", "user_access.groups[0].id: must not be empty"),
    (
        "user_access: {access_as: {}}",
        "user_access.access_as: needs exactly one of agent, user, for example `agent:",
    ),
    ("user_access: {access_as: {agent: }}", "user_access.access_as: needs exactly one of agent, user"),
    ("ci_access: {projects: [{id: a, environments: ['']}]}", "environments: must not hold an empty item"),
    ("ci_access: {groups: [{id: a, access_as: {impersonate: {}}}]}", "impersonate.username: is required"),
    (
        "ci_access: {groups: [{id: a, access_as: {impersonate: {username: u, extra: [{key: k}]}}}]}",
        "ci_access.groups[0].access_as.impersonate.extra[0].val: needs at least 1 item",
    ),
    (
        "ci_access: {instance: {environments: ['']}}",
        "ci_access.instance.environments: must not hold an empty",
    ),
    ("container_scanning: {}", "container_scanning.cadence: is required"),
    ("gitops: {manifest_projects: [{id: ''}]}", "gitops.manifest_projects[0].id: must not be empty"),
    ("gitops: {manifest_projects: [{ref: {}}]}", "ref: needs exactly one of branch, tag, commit"),
    ("gitops: {manifest_projects: [{paths: [{}]}]}", "paths[0].glob: is required"),
    (
        "gitops: {manifest_projects: [{inventory_policy: x}]}",
        "must be one of must_match, adopt_if_no_inventory",
    ),
    ("remote_development: {full_sync_interval: 0s}", "full_sync_interval: must be more than 0s"),
]


@pytest.mark.parametrize(("text", "problem"), UNREADABLE)
def test_a_fault_of_form_is_named_by_its_path(text: str, problem: str):
    with pytest.raises(UnreadableConfigurationError) as caught:
        reader.read(text.encode())
    assert problem in str(caught.value)


@pytest.mark.parametrize(("text", "problem"), INVALID)
def test_a_broken_rule_is_named_by_its_path(text: str, problem: str):
    with pytest.raises(InvalidConfigurationError) as caught:
        reader.read(text.encode())
    assert problem in str(caught.value)


def test_several_faults_are_named_at_once():
    with pytest.raises(UnreadableConfigurationError) as caught:
        reader.read(b"flx: {}\nuser_access: {projects: 1}\n")
    assert str(caught.value) == (
        "flx: unknown key; did you mean flux?; user_access.projects: expected a list, got a number"
    )


def test_thousands_of_faults_are_counted_and_not_told():
    text = "\n".join(f"user_acess{number}: 1" for number in range(6000)).encode()
    started = time.process_time()
    with pytest.raises(UnreadableConfigurationError, match="and 5990 more") as caught:
        reader.read(text)
    assert len(str(caught.value)) < 1000
    assert time.process_time() - started < 2


def test_a_file_over_the_limit_and_a_deep_one_are_refused():
    with pytest.raises(UnreadableConfigurationError, match="131073 bytes; at most 131072"):
        reader.read(b"#" * 131_073)
    with pytest.raises(UnreadableConfigurationError, match="nested deeper than 100 levels"):
        reader.read(b"[" * 100_000)


def _section(depth: int) -> st.SearchStrategy[object]:
    keys = st.sampled_from(sorted({name for message in _MESSAGES for name in schema.fields_of(message)}))
    leaf = st.sampled_from([None, True, 1, -1, 1.5, "", "a", "10s", "debug", "none", {}, []])
    if depth == 0:
        return leaf
    inner = _section(depth - 1)
    return leaf | st.dictionaries(keys, inner, max_size=4) | st.lists(inner, max_size=3)


_MESSAGES = list(schema.FILE.file.message_types_by_name.values())


@given(st.dictionaries(st.sampled_from(sorted(schema.fields_of(schema.FILE))), _section(4), max_size=4))
def test_any_file_is_read_or_refused(document: dict[str, object]):
    with contextlib.suppress(UnreadableConfigurationError, InvalidConfigurationError):
        reader.read(json.dumps(document).encode())


def test_the_places_of_entries_that_let_somebody_in_are_told():
    read = reader.read(WHOLE.encode())
    lines = WHOLE.splitlines()
    assert set(read.lines) == {
        "ci_access.projects[0]",
        "ci_access.groups[0]",
        "ci_access.instance",
        "user_access.projects[0]",
        "user_access.groups[0]",
    }
    assert lines[read.lines["ci_access.projects[0]"] - 1] == "  - id: acme/shop"
    assert lines[read.lines["ci_access.groups[0]"] - 1] == "  - id: acme"
    assert lines[read.lines["ci_access.instance"] - 1] == "  instance: {access_as: {agent: {}}}"
    assert lines[read.lines["user_access.groups[0]"] - 1] == "  groups: [{id: acme/platform}]"


@pytest.mark.parametrize("text", [None, b"", b"ci_access:\n", b"user_access: {access_as: {agent: {}}}\n"])
def test_a_file_that_lets_nobody_in_has_no_places(text: bytes | None):
    assert reader.read(text).lines == {}
