from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire import rbac_refusal
from kasbah.wire.rbac_refusal import RefusedAction
from kasbah.wire.status_body import StatusBody

LIST = 'User "mia" cannot list resource "pods" in API group "" in the namespace "n"'

ESCALATION = (
    'roles.rbac.authorization.k8s.io "r" is forbidden: user "mia" (groups=["g"]) is attempting to grant '
    'RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'
)


def status(message: str, kind: str = "pods", group: str = "", name: str = "") -> StatusBody:
    return StatusBody(message=message, kind=kind, group=group, name=name, with_message=str.encode)


def read(message: str, **details: Any) -> RefusedAction | None:
    return rbac_refusal.read(status(message, **details))


def test_a_collection_in_a_namespace():
    assert read(f"pods is forbidden: {LIST}") == RefusedAction(
        user="mia", verb="list", resource="pods", namespace="n"
    )


def test_a_subresource_of_another_group_at_the_cluster_scope():
    message = (
        'apps.example.com "a" is forbidden: User "mia" cannot create resource "apps/scale" '
        'in API group "example.com" at the cluster scope'
    )
    assert read(message, kind="apps", group="example.com", name="a") == RefusedAction(
        user="mia", verb="create", group="example.com", resource="apps", subresource="scale", name="a"
    )


def test_a_path():
    found = read('forbidden: User "mia" cannot get path "/a&amp;b"', kind="")
    assert found == RefusedAction(user="mia", verb="get", path="/a&b")


def test_a_reason_may_follow():
    assert read(f'pods is forbidden: {LIST}: RBAC: clusterrole "x" not found') is not None


def test_markup_is_taken_back_once():
    found = read(
        'pods is forbidden: User "&lt;&amp;lt;&gt;" cannot list resource "p" in API group "" at the cluster scope'
    )
    assert found is not None
    assert found.user == "<&lt;>"


def test_quotes_of_go_are_taken_back():
    message = (
        r'pods "w\"\\\n\u202e\U000e0001ü" is forbidden: User "m\tü" cannot get resource "pods" '
        'in API group "" in the namespace "n"'
    )
    found = read(message, name='w"\\\n\u202e\U000e0001ü')
    assert found is not None
    assert found.user == "m\tü"


@pytest.mark.parametrize(
    ("message", "details"),
    [
        ("", {}),
        (LIST, {}),
        (f"secrets is forbidden: {LIST}", {}),
        (f"pods.apps is forbidden: {LIST}", {}),
        (f'pods "a" is forbidden: {LIST}', {}),
        (f'pods "a" is forbidden: {LIST}', {"name": "b"}),
        (f"pods is forbidden: {LIST}", {"name": "b"}),
        (f'pods "\\xff" is forbidden: {LIST}', {"name": "b"}),
        (f"forbidden: {LIST}", {}),
        (f'pods "\\Uffffffff" is forbidden: {LIST}', {"name": "b"}),
        (
            'pods is forbidden: User "\\U00110000" cannot list resource "pods" in API group "" at the cluster scope',
            {},
        ),
        (f"pods is forbidden: and {LIST}", {}),
        (f"pods is forbidden: {LIST} and more", {}),
        (
            'pods is forbidden: User "m\\xff" cannot list resource "pods" in API group "" at the cluster scope',
            {},
        ),
        (
            'pods "a" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1',
            {"name": "a"},
        ),
        ('pods "a" is forbidden: violates PodSecurity "restricted:latest": x', {"name": "a"}),
        (ESCALATION, {"kind": "roles", "group": "rbac.authorization.k8s.io", "name": "r"}),
    ],
)
def test_everything_else_is_not_the_authorisers(message, details):
    assert read(message, **details) is None


def test_a_resource_cannot_forge_the_sentence():
    """The resource stands unquoted before the sentence, and its name is the client's to choose."""
    resource = f"pods is forbidden: {LIST}: x"
    quoted = resource.replace('"', '\\"')
    sentence = f'User "eve" cannot list resource "{quoted}" in API group "" at the cluster scope'
    found = read(f"{resource} is forbidden: {sentence}", kind=resource)
    assert found is not None
    assert (found.user, found.resource) == ("eve", resource)


@pytest.mark.parametrize("verb", ["impersonate", "impersonate:user-info", "impersonate-on:user-info:list"])
def test_an_agent_that_may_not_impersonate_is_known_by_its_verb(verb):
    found = read(
        f'users "x" is forbidden: User "a" cannot {verb} resource "users" in API group "" at the cluster scope',
        kind="users",
        name="x",
    )
    assert found is not None
    assert found.impersonates


def test_other_verbs_impersonate_nobody():
    found = read(f"pods is forbidden: {LIST}")
    assert found is not None
    assert not found.impersonates


@pytest.mark.parametrize(
    ("message", "reason"),
    [('pods "web" is forbidden: ', ""), ('pods "web" is forbidden: RBAC: x', "RBAC: x"), ("no", None)],
)
def test_the_reason_may_be_asked_for_alone(message, reason):
    assert rbac_refusal.reason_of(status(message, name="web")) == reason


@settings(deadline=None)
@given(st.text(), st.text(), st.text())
def test_no_text_is_a_crash(message, kind, name):
    read(message, kind=kind, name=name)
    read(f"{kind} is forbidden: {message}", kind=kind)
    read(f'{kind} "{name}" is forbidden: {message}', kind=kind, name=name)
    read(
        f'{kind} is forbidden: User "{message}" cannot list resource "{name}" in API group "" at the cluster scope',
        kind=kind,
    )
