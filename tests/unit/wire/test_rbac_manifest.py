from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire import rbac_manifest
from kasbah.wire.identity import AsUser
from kasbah.wire.rbac_manifest import Subject, user
from kasbah.wire.rbac_refusal import RefusedAction

MIA = Subject(kind="User", name="gitlab:user:mia")
GET_POD = RefusedAction(user="mia", verb="get", resource="pods", name="web", namespace="fleet")
PRINTABLE = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)


def changed(**fields: str) -> RefusedAction:
    known = {name: getattr(GET_POD, name) for name in GET_POD.__struct_fields__}
    return RefusedAction(**known | fields)


def read(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    role, binding = yaml.safe_load_all(text)
    return role, binding


def test_one_object_in_a_namespace_is_a_role_and_its_binding():
    name = "allow-get-pods-1d8c3a4e"
    told = rbac_manifest.allow(GET_POD, MIA)
    assert (
        re.sub("allow-get-pods-[0-9a-f]{8}", name, told)
        == f"""\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {name}
  namespace: fleet
rules:
- apiGroups: [""]
  resources: [pods]
  resourceNames: [web]
  verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {name}
  namespace: fleet
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {name}
subjects:
- apiGroup: rbac.authorization.k8s.io
  kind: User
  name: "gitlab:user:mia\""""
    )


def test_the_cluster_scope_takes_a_cluster_role():
    action = RefusedAction(
        user="mia", verb="create", group="apps", resource="deployments", subresource="scale"
    )
    role, binding = read(rbac_manifest.allow(action, MIA, "get"))
    assert (role["kind"], binding["kind"], binding["roleRef"]["kind"]) == (
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterRole",
    )
    assert role["rules"] == [
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["create", "get"]}
    ]
    assert "namespace" not in role["metadata"]
    assert role["metadata"] == binding["metadata"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_a_path_takes_a_cluster_role():
    role, _ = read(rbac_manifest.allow(RefusedAction(user="m", verb="get", path="/metrics"), MIA))
    assert role["rules"] == [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]


@pytest.mark.parametrize(
    "fields",
    [
        {"resource": "*"},
        {"resource": "p*"},
        {"group": "*"},
        {"subresource": "*"},
        {"resource": "po ds"},
        {"resource": "pods\n"},
        {"resource": ""},
        {"group": "a]"},
        {"namespace": "N"},
        {"namespace": "a.b"},
        {"namespace": "n\n"},
        {"namespace": "x" * 64},
    ],
)
def test_what_would_allow_more_or_cannot_be_gets_no_advice(fields):
    assert rbac_manifest.allow(changed(**fields), MIA) == ""


@pytest.mark.parametrize("path", ["/a*", "*", "/" + "x" * 1024])
def test_no_path_that_stands_for_others_gets_advice(path):
    assert rbac_manifest.allow(RefusedAction(user="m", verb="get", path=path), MIA) == ""


def test_an_objects_name_may_be_an_asterisk_because_names_are_not_patterns():
    role, _ = read(rbac_manifest.allow(changed(name="*"), MIA))
    assert role["rules"][0]["resourceNames"] == ["*"]


@pytest.mark.parametrize(
    "name",
    ["yes", "null", "true", "on", "y", "1e3", "0x1", "007", "1:30", ".inf", "~", "- a", "#", "a: b", '"', "\\", "a #", "a\n---\nkind: ClusterRole", "\u2028", "\ufeff", "\U0001f600", "it's", "{}", "*a", "&a", "!a", "2001-01-01", "a,b", "a]", "é", "\x7f"],
)  # fmt: skip
def test_every_name_stays_itself_and_nothing_else(name):
    role, binding = read(rbac_manifest.allow(changed(name=name), Subject(kind="User", name=name)))
    assert role["rules"][0]["resourceNames"] == [name]
    assert binding["subjects"][0]["name"] == name


@settings(deadline=None)
@given(name=PRINTABLE, person=PRINTABLE)
def test_any_name_stays_itself(name, person):
    text = rbac_manifest.allow(changed(name=name), Subject(kind="Group", name=person))
    role, binding = read(text)
    assert (role["rules"][0]["resourceNames"], binding["subjects"][0]["name"]) == ([name], person)
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())


@settings(deadline=None)
@given(verb=st.sampled_from(["get", "deletecollection"]), name=PRINTABLE)
def test_the_objects_own_names_are_valid_and_the_same_each_time(verb, name):
    made = [
        rbac_manifest.allow(changed(verb=verb, name=name, subresource="ephemeralcontainers"), MIA)
        for _ in "ab"
    ]
    assert made[0] == made[1]
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", read(made[0])[0]["metadata"]["name"])


def test_different_requests_and_different_people_get_different_names():
    made = [
        rbac_manifest.allow(GET_POD, MIA),
        rbac_manifest.allow(GET_POD, Subject(kind="User", name="x")),
        rbac_manifest.allow(changed(name="other"), MIA),
        rbac_manifest.allow(changed(namespace="other"), MIA),
    ]
    assert len({read(text)[0]["metadata"]["name"] for text in made}) == 4


def test_a_service_account_is_named_as_one():
    subject = user("system:serviceaccount:gitlab:agent.k8s")
    assert subject == Subject(kind="ServiceAccount", name="agent.k8s", namespace="gitlab")
    _, binding = read(rbac_manifest.allow(GET_POD, subject))
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "agent.k8s", "namespace": "gitlab"}]


@pytest.mark.parametrize(
    "name", ["mia", "system:serviceaccount:a", "system:serviceaccount:A:b", "system:serviceaccount:a:b:c"]
)
def test_everybody_else_is_a_user(name):
    assert user(name) == Subject(kind="User", name=name)


IDENTITY = AsUser(
    username="gitlab:user:mia",
    groups=("gitlab:user", "g2"),
    uid="7",
    extra=(("agent.gitlab.com/id", ("1",)), ("b", ("2", "3"))),
)


def test_an_agent_that_acts_as_others_needs_all_parts_of_their_identities():
    role, binding = read(
        rbac_manifest.allow_impersonation(IDENTITY, user("system:serviceaccount:a:b"), only_this=False)
    )
    assert role["kind"] == "ClusterRole"
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]},
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["userextras/agent.gitlab.com/id", "userextras/b", "uids"],
            "verbs": ["impersonate"],
        },
    ]
    assert binding["subjects"][0]["kind"] == "ServiceAccount"


def test_an_agent_that_was_told_whom_to_act_as_needs_this_one_identity():
    role, _ = read(rbac_manifest.allow_impersonation(IDENTITY, user("a"), only_this=True))
    assert [(rule["resources"], rule["resourceNames"]) for rule in role["rules"]] == [
        (["users"], ["gitlab:user:mia"]),
        (["groups"], ["gitlab:user", "g2"]),
        (["userextras/agent.gitlab.com/id"], ["1"]),
        (["userextras/b"], ["2", "3"]),
        (["uids"], ["7"]),
    ]


def test_acting_as_a_service_account_is_a_right_of_its_own():
    role, _ = read(
        rbac_manifest.allow_impersonation(
            AsUser(username="system:serviceaccount:a:b"), user("x"), only_this=False
        )
    )
    assert role["rules"] == [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}]
