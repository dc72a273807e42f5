from __future__ import annotations

import yaml

from kasbah.agentk.doctor import rights

AGENT = "system:serviceaccount:kasbah:agentk"


def documents(missing: list[rights.Right], username: str = AGENT) -> list[dict]:
    return list(yaml.safe_load_all("\n".join(rights.manifest(missing, username))))


def test_the_question_names_what_is_wanted_and_nothing_else():
    users, groups, extra, *_ = rights.impersonation()
    assert users.review()["spec"]["resourceAttributes"] == {
        "verb": "impersonate",
        "group": "",
        "resource": "users",
    }
    assert groups.text == "impersonate groups"
    assert extra.review()["spec"]["resourceAttributes"]["subresource"] == "agent.gitlab.com/id"
    assert rights.leases("ops")[0].review()["spec"]["resourceAttributes"]["namespace"] == "ops"


def test_impersonation_is_allowed_everywhere():
    role, binding = documents(rights.impersonation())
    assert (role["kind"], binding["kind"]) == ("ClusterRole", "ClusterRoleBinding")
    assert role["rules"][0] == {"apiGroups": [""], "resources": ["users", "groups"], "verbs": ["impersonate"]}
    assert "userextras/agent.gitlab.com/username" in role["rules"][1]["resources"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "namespace": "kasbah", "name": "agentk"}]


def test_leases_are_allowed_in_one_namespace():
    role, binding = documents(rights.leases("ops"), "mia")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "ops"
    assert [rule["verbs"] for rule in role["rules"]] == [["get"], ["create"], ["update"]]
    assert binding["subjects"][0] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mia"}
