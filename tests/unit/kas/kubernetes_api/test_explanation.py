from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest
import yaml

from kasbah.kas.kubernetes_api import grant
from kasbah.kas.kubernetes_api.access import Access, Basis
from kasbah.kas.kubernetes_api.explanation import RefusalExplainer
from kasbah.wire import http1, request_policy, status_body
from kasbah.wire.identity import AsAgent, AsUser, Identity
from tests.doubles.people import access_of_mia

MIA = AsUser(username="gitlab:user:mia", groups=("gitlab:user", "gitlab:project_role:40:developer"))
JOB = AsUser(
    username="gitlab:ci_job:9001",
    groups=("gitlab:ci_job", "gitlab:group:5", "gitlab:project:40", "gitlab:project_env:40:prod"),
)
BASIS = Basis(
    project_path="ops/fleet", file=".gitlab/agents/prod/config.yaml", entry="user_access.groups[0]", line=9
)
PODS = "/api/v1/namespaces/fleet/pods"


def sentence(user: str, verb: str, resource: str, group: str = "", namespace: str = "fleet") -> str:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return f'User "{user}" cannot {verb} resource "{resource}" in API group "{group}" {where}'


def status(said: str, kind: str = "pods", group: str = "", name: str = "") -> bytes:
    subject = f"{kind}.{group}" if group else kind
    named = f' "{name}"' if name else ""
    document: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"{subject}{named} is forbidden: {said}" if kind else f"forbidden: {said}",
        "reason": "Forbidden",
        "details": {key: value for key, value in (("name", name), ("group", group), ("kind", kind)) if value},
        "code": 403,
    }
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def explain(
    body: bytes,
    target: str = PODS,
    identity: Identity = MIA,
    *,
    method: str = "GET",
    headers: str = "",
    access: Access | None = None,
    content_type: bytes = b"application/json",
) -> str:
    """What is added to the cluster's text; empty when the body passes as it came."""
    head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer pat:7:good\r\n{headers}\r\n"
    request = request_policy.prepare(http1.request_head(head.encode()), 0)
    granted = grant.issue("g", access or access_of_mia(identity), deadline_ms=1)
    told = RefusalExplainer().explain(granted, request, content_type, body)
    if told is None:
        return ""
    before = status_body.read(content_type, body)
    after = status_body.read(content_type, told)
    if before is None or after is None:
        before_message, after_message = yaml.safe_load(body)["message"], yaml.safe_load(told)["message"]
    else:
        before_message, after_message = before.message, after.message
    assert after_message.startswith(before_message)
    return str(after_message[len(before_message) :])


def manifests(told: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(told[told.index("apiVersion:") :])) if "apiVersion:" in told else []


LIST_PODS = status(sentence("gitlab:user:mia", "list", "pods"))


def test_a_person_hears_who_they_are_what_let_them_in_and_what_would_help():
    access = dataclasses.replace(access_of_mia(MIA), basis=BASIS)
    told = explain(LIST_PODS, access=access)
    assert told.startswith(
        "\n\n"
        "you        mia, by a personal access token\n"
        "acting as  gitlab:user:mia\n"
        "in groups  gitlab:user, gitlab:project_role:40:developer\n"
        "let in by  user_access.groups[0] in .gitlab/agents/prod/config.yaml line 9 of ops/fleet\n"
        "\n"
        "To allow exactly this, an administrator of the cluster can apply:\n"
        "\n"
        "apiVersion: rbac.authorization.k8s.io/v1\n"
        "kind: Role\n"
    )
    role, binding = manifests(told)
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    assert binding["subjects"][0]["name"] == "gitlab:user:mia"


def test_what_nobody_knows_is_left_out():
    told = explain(LIST_PODS)
    assert "let in by" not in told
    basis = msgspec.structs.replace(BASIS, line=0)
    assert " line " not in explain(LIST_PODS, access=dataclasses.replace(access_of_mia(MIA), basis=basis))


def test_the_agents_own_project_needs_no_line():
    basis = msgspec.structs.replace(BASIS, entry="implicit")
    told = explain(LIST_PODS, access=dataclasses.replace(access_of_mia(MIA), basis=basis))
    assert "let in by  being of the agent's own project ops/fleet\n" in told


def test_all_but_the_message_stays_as_it_was():
    request = request_policy.prepare(
        http1.request_head(
            f"GET {PODS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer pat:7:good\r\n\r\n".encode()
        ),
        0,
    )
    granted = grant.issue("g", access_of_mia(MIA), deadline_ms=1)
    told = RefusalExplainer().explain(granted, request, b"application/json", LIST_PODS)
    assert told is not None
    before, after = json.loads(LIST_PODS), json.loads(told)
    assert list(before) == list(after)
    assert after.pop("message").startswith(before.pop("message") + "\n\n")
    assert before == after


def test_many_groups_are_not_all_told():
    crowd = AsUser(username="gitlab:user:mia", groups=tuple(f"g{n}" for n in range(30)))
    assert "g19 and 10 more" in " ".join(explain(LIST_PODS, identity=crowd).split())


@pytest.mark.parametrize(
    ("groups", "subject"),
    [
        (JOB.groups, "gitlab:project_env:40:prod"),
        (JOB.groups[:3], "gitlab:project:40"),
        (JOB.groups[:1], "gitlab:ci_job:9001"),
    ],
)
def test_a_jobs_right_is_given_to_what_outlives_it(groups, subject):
    access = dataclasses.replace(
        access_of_mia(AsUser(username=JOB.username, groups=groups)), access_type="ci_job", job_id=9001
    )
    told = explain(status(sentence("gitlab:ci_job:9001", "list", "pods")), access=access)
    assert "you        job 9001 of mia, by a job's token\n" in told
    assert manifests(told)[1]["subjects"][0]["name"] == subject
    assert (f"To allow exactly this to everybody in {subject}, an" in told) == subject.startswith(
        "gitlab:project"
    )


def test_whoever_acts_as_the_agent_hears_the_agents_name_from_the_cluster():
    account = "system:serviceaccount:gitlab:agentk"
    told = explain(status(sentence(account, "list", "pods")), identity=AsAgent())
    assert f"acting as  the agent's own identity, {account}\n" in told
    assert "in groups" not in told
    assert manifests(told)[1]["subjects"] == [
        {"kind": "ServiceAccount", "name": "agentk", "namespace": "gitlab"}
    ]


def test_whoever_chose_an_identity_is_told_so():
    told = explain(
        status(sentence("alice", "list", "pods")), identity=AsAgent(), headers="Impersonate-User: alice\r\n"
    )
    assert "acting as  alice (your choice)\n" in told
    assert manifests(told)[1]["subjects"][0]["name"] == "alice"


@pytest.mark.parametrize(
    "said",
    [
        "exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1",
        'violates PodSecurity "restricted:latest": privileged',
        'user "gitlab:user:mia" (groups=["g"]) is attempting to grant RBAC permissions not currently held:\n{}',
        "unable to create new content in namespace fleet because it is being terminated",
    ],
)
def test_what_no_role_would_change_gets_none(said):
    told = explain(status(said, name="web"), method="POST")
    assert "acting as  gitlab:user:mia" in told
    assert "apply" not in told


@pytest.mark.parametrize(
    ("target", "method", "said", "details"),
    [
        (PODS, "GET", sentence("gitlab:user:zoe", "list", "pods"), {}),
        (PODS, "GET", sentence("gitlab:user:mia", "list", "secrets"), {"kind": "secrets"}),
        (PODS, "GET", sentence("gitlab:user:mia", "list", "pods", namespace="other"), {}),
        (PODS, "GET", sentence("gitlab:user:mia", "list", "pods", namespace=""), {}),
        (PODS, "GET", sentence("gitlab:user:mia", "delete", "pods"), {}),
        (PODS, "GET", sentence("gitlab:user:mia", "list", "pods", group="x"), {"group": "x"}),
        (f"{PODS}/a", "GET", sentence("gitlab:user:mia", "get", "pods"), {"name": "b"}),
        (f"{PODS}/a", "GET", sentence("gitlab:user:mia", "get", "pods/log"), {"name": "a"}),
        (PODS, "POST", sentence("gitlab:user:mia", "create", "pods"), {"name": "b"}),
        ("/metrics", "GET", 'User "gitlab:user:mia" cannot get path "/other"', {"kind": ""}),
        (PODS, "GET", f'User "gitlab:user:mia" cannot get path "{PODS}"', {"kind": ""}),
        ("/api/v1/namespaces/fleet/*", "GET", sentence("gitlab:user:mia", "list", "*"), {"kind": "*"}),
    ],
)
def test_no_right_is_suggested_but_the_one_for_this_request(target, method, said, details):
    told = explain(status(said, **details), target, method=method)
    assert "acting as" in told
    assert "apiVersion" not in told


@pytest.mark.parametrize(
    ("target", "method", "verb", "details"),
    [
        (f"{PODS}?watch=1", "GET", "watch", {}),
        (f"{PODS}/web?watch=1", "GET", "get", {"name": "web"}),
        (f"{PODS}?fieldSelector=metadata.name%3Dweb", "GET", "list", {"name": "web"}),
        (f"{PODS}/web", "PATCH", "create", {"name": "web"}),
        (f"{PODS}/web", "PUT", "update", {"name": "web"}),
        (PODS, "DELETE", "deletecollection", {}),
    ],
)
def test_the_cluster_knows_best_how_a_request_is_judged(target, method, verb, details):
    told = explain(status(sentence("gitlab:user:mia", verb, "pods"), **details), target, method=method)
    rule = manifests(told)[0]["rules"][0]
    assert (rule["verbs"], rule.get("resourceNames")) == ([verb], [details["name"]] if details else None)


def test_an_escaped_path_is_known_again():
    said = 'User "gitlab:user:mia" cannot get path "/a bü"'
    told = explain(status(said, kind=""), "/a%20b%C3%BC")
    assert manifests(told)[0]["rules"] == [{"nonResourceURLs": ["/a bü"], "verbs": ["get"]}]


def test_applying_what_is_not_there_yet_takes_a_second_verb():
    said = status(sentence("gitlab:user:mia", "patch", "pods"), name="web")
    headers = "Content-Type: application/apply-patch+yaml\r\n"
    hint = "An object that does not exist yet needs the verb create, too.\n"
    assert hint in explain(said, f"{PODS}/web", method="PATCH", headers=headers)
    assert hint not in explain(said, f"{PODS}/web", method="PATCH")


WEBSOCKET = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def test_an_exec_over_a_websocket_is_judged_twice():
    said = status(sentence("gitlab:user:mia", "get", "pods/exec"), name="web")
    told = explain(said, f"{PODS}/web/exec", headers=WEBSOCKET)
    assert manifests(told)[0]["rules"][0]["verbs"] == ["get", "create"]


@pytest.mark.parametrize(("said", "advised"), [("", True), ("RBAC: x", True), ("the pod is gone", False)])
def test_the_second_judgement_is_told_though_the_cluster_does_not_say_it(said, advised):
    told = explain(status(said, name="web"), f"{PODS}/web/exec", headers=WEBSOCKET)
    assert [m["rules"][0]["verbs"] for m in manifests(told)[:1]] == [["create"]] * advised
    assert not manifests(explain(status("", name="web"), f"{PODS}/web"))
    assert not manifests(explain(status("", name="other"), f"{PODS}/web/exec", headers=WEBSOCKET))
    assert not manifests(explain(status("", name="web"), f"{PODS}/web/exec", AsAgent(), headers=WEBSOCKET))


AGENT = "system:serviceaccount:gitlab:agentk"
IMPERSONATE = sentence(AGENT, "impersonate", "users", namespace="")
FULL = AsUser(username="mia", groups=("devs",), uid="7", extra=(("example.com/reason", ("why",)),))
AUTHENTICATION = "authentication.k8s.io"


@pytest.mark.parametrize(
    "body",
    [
        status(IMPERSONATE, kind="users", name="gitlab:user:mia"),
        status(sentence(AGENT, "impersonate-on:user-info:list", "pods")),
    ],
)
def test_an_agent_that_may_not_impersonate_is_the_administrators_to_repair(body):
    told = explain(body)
    assert (
        "The agent may not act as you: its own identity, system:serviceaccount:gitlab:agentk, lacks the right.\n"
        "This is not about your rights." in told
    )
    role, binding = manifests(told)
    assert role["rules"] == [{"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]}]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "agentk", "namespace": "gitlab"}]


def test_an_agent_that_is_asked_to_be_somebody_needs_no_more_than_that():
    told = explain(
        status(IMPERSONATE, kind="users", name="alice"),
        identity=AsAgent(),
        headers="Impersonate-User: alice\r\n",
    )
    assert "may not act as alice:" in told
    assert manifests(told)[0]["rules"][0]["resourceNames"] == ["alice"]


def test_an_agent_that_acts_as_itself_impersonates_nobody():
    assert not manifests(explain(status(IMPERSONATE, kind="users", name="a"), identity=AsAgent()))


def of_identity(kind: str, name: str, group: str = "", extra: str = "", user: str = AGENT) -> bytes:
    resource = f"{kind}/{extra}" if extra else kind
    namespace = "ci" if kind == "serviceaccounts" else ""
    said = sentence(user, "impersonate", resource, group, namespace)
    return status(said, kind=kind, group=group, name=name)


@pytest.mark.parametrize(
    ("identity", "body"),
    [
        (FULL, of_identity("users", "mia")),
        (FULL, of_identity("users", "mia", AUTHENTICATION)),
        (FULL, of_identity("groups", "devs")),
        (FULL, of_identity("uids", "7", AUTHENTICATION)),
        (FULL, of_identity("userextras", "why", AUTHENTICATION, extra="example.com/reason")),
        (AsUser(username="system:serviceaccount:ci:bot"), of_identity("serviceaccounts", "bot")),
    ],
)
def test_each_part_of_an_identity_may_be_what_the_agent_lacks(identity, body):
    assert manifests(explain(body, identity=identity))[1]["subjects"][0]["name"] == "agentk"


WEBHOOK = 'admission webhook "w" denied the request:'


@pytest.mark.parametrize(
    "body",
    [
        status(IMPERSONATE.replace(AGENT, "evil"), kind=WEBHOOK),
        status(IMPERSONATE, kind=WEBHOOK),
        status(IMPERSONATE, kind="users", group="evil.example", name="mia"),
        status(IMPERSONATE, kind="groups", name="devs"),
        of_identity("users", "mia", user="evil"),
        of_identity("users", "mia", "evil.example"),
        of_identity("users", "zoe"),
        of_identity("users", ""),
        of_identity("groups", "admins"),
        of_identity("uids", "8", AUTHENTICATION),
        of_identity("uids", "", AUTHENTICATION),
        of_identity("userextras", "why", AUTHENTICATION, extra="other"),
        of_identity("serviceaccounts", "mia"),
        of_identity("widgets", "mia"),
        status(sentence(AGENT, "impersonate-on:user-info:delete", "pods")),
        status(sentence(AGENT, "impersonate-on:user-info:list", "secrets"), kind="secrets"),
        status(sentence("evil", "impersonate-on:user-info:list", "pods")),
    ],
)
def test_nobody_else_is_ever_suggested_for_impersonation(body):
    told = explain(body, identity=FULL)
    assert "you        mia" in told
    assert not manifests(told)


def test_an_agent_kept_from_acting_as_somebody_without_a_uid_is_not_kept_by_one():
    assert not manifests(explain(of_identity("uids", "", AUTHENTICATION)))


@pytest.mark.parametrize("target", [f"{PODS}/web/proxy/x", "/api/v1/proxy/namespaces/fleet/pods/web"])
@pytest.mark.parametrize(
    "body",
    [
        status(sentence("gitlab:user:mia", "get", "pods/proxy"), name="web"),
        status(IMPERSONATE, kind="users", name="gitlab:user:mia"),
    ],
)
def test_what_a_pod_may_have_said_passes_as_it_came(target, body):
    assert explain(body, target) == ""


def test_what_would_grow_by_much_passes_as_it_came():
    """Each of these letters is written as six."""
    few, many = ("<" * letters for letters in (3_000, 4_000))
    assert "acting as" in explain(status(few))
    assert explain(status(many)) == ""


YAML = b"""apiVersion: v1
code: 403
details:
  kind: pods
kind: Status
message: 'pods is forbidden: User "gitlab:user:mia" cannot list resource "pods" in
  API group "" in the namespace "fleet"'
metadata: {}
reason: "Forbidden\\x7f"
status: Failure
"""


def test_yaml_is_explained_too():
    told = explain(YAML, content_type=b"application/yaml")
    assert manifests(told)[0]["rules"][0]["verbs"] == ["list"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"a: [",
        b"kind: Pod\napiVersion: v1\n",
        b"- 1\n",
        YAML + b"more: 1\n",
        YAML.replace(b"{}", b"{a: [1]}"),
        YAML.replace(b"{}", b"{" + b"".join(b"a%d: 1, " % n for n in range(60)) + b"}"),
        YAML.replace(b"{}", b'&a {a: "z"}'),
        YAML + b"a: &a " + b"z" * 30_000 + b"\nb: [" + b"*a," * 8_000 + b"]\n",
        b"%TAG ! tag:example.com,2000:\n---\n" + YAML,
    ],
)
def test_yaml_that_is_no_status_passes(body):
    assert explain(body, content_type=b"application/yaml") == ""


@pytest.mark.parametrize(
    ("body", "content_type"), [(b"no", b"text/plain"), (b"{}", b"application/json"), (LIST_PODS, b"")]
)
def test_what_is_not_understood_passes(body, content_type):
    assert explain(body, content_type=content_type) == ""
