"""Our entries come into a kubeconfig, and everything else in it stays as it was."""

from __future__ import annotations

import stat

import pytest
import yaml

from kasbah.cli import kubeconfig
from kasbah.cli.kubeconfig import Entry
from kasbah.errors import UserError

ENTRY = Entry(
    cluster_name="one_example",
    user_name="one_example-7",
    context_name="one_example-ops_fleet-prod",
    cluster={"server": "https://one.example/k8s-proxy/"},
    user={"exec": {"command": "/bin/kasbah-credential", "args": ["--agent", "7"]}},
)
THEIRS = """\
# written by hand: do not touch
apiVersion: v1
kind: Config
preferences: {}
clusters:
- cluster:
    server: https://10.0.0.1:6443   # the old one
    certificate-authority: 'ca.crt'
  name: lab
# people
users:
- name: admin
  user:
    token: "0123"
    username: no
contexts:
- name: lab
  context:
    cluster: lab
    user: admin
    namespace: 2026-01-01
current-context: lab
"""


def read(text):
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506 - builds texts only


def item(document, section, name):
    return next(item for item in document[section] if item["name"] == name)


def test_an_empty_file_becomes_a_kubeconfig():
    document = read(kubeconfig.merge("", ENTRY, use_context=True))

    assert (document["apiVersion"], document["kind"]) == ("v1", "Config")
    assert document["current-context"] == ENTRY.context_name
    assert item(document, "clusters", "one_example")["cluster"] == ENTRY.cluster
    context = {"cluster": "one_example", "user": "one_example-7"}
    assert item(document, "contexts", ENTRY.context_name)["context"] == context
    assert item(document, "users", "one_example-7")["user"]["exec"]["args"] == ["--agent", "7"]


def test_every_line_that_was_there_stays():
    merged = kubeconfig.merge(THEIRS, ENTRY, use_context=False)

    kept = iter(merged.splitlines())
    assert all(line in kept for line in THEIRS.splitlines())
    assert read(merged)["current-context"] == "lab"


def test_merging_twice_changes_nothing_more():
    once = kubeconfig.merge(THEIRS, ENTRY, use_context=True)

    assert kubeconfig.merge(once, ENTRY, use_context=True) == once


def test_an_older_entry_is_replaced_where_it_stood():
    older = Entry(
        cluster_name=ENTRY.cluster_name,
        user_name=ENTRY.user_name,
        context_name=ENTRY.context_name,
        cluster={"server": "https://old.example/", "insecure-skip-tls-verify": True},
        user={"token": "x"},
    )
    text = kubeconfig.merge(THEIRS, older, use_context=True) + "# the end\n"

    document = read(kubeconfig.merge(text, ENTRY, use_context=True))

    assert item(document, "clusters", "one_example")["cluster"] == ENTRY.cluster
    assert [len(document[section]) for section in ("clusters", "users", "contexts")] == [2, 2, 2]


def test_a_namespace_on_our_context_is_the_persons():
    text = kubeconfig.merge("", ENTRY, use_context=False).replace(
        "    user: one_example-7\n", "    user: one_example-7\n    namespace: shop\n"
    )

    document = read(kubeconfig.merge(text, ENTRY, use_context=False))

    assert item(document, "contexts", ENTRY.context_name)["context"]["namespace"] == "shop"


@pytest.mark.parametrize(
    "text",
    [
        '{"apiVersion":"v1","clusters":[{"name":"lab","cluster":{"server":"x"}}],"users":null,"on":"yes"}',
        "clusters: [{name: lab, cluster: {server: x}}]\non: yes\n",
        "clusters:\n  - name: lab\n    cluster: {server: x}\ncontexts: ~\non: yes",
        "clusters:\r\n- name: lab\r\n  cluster: {server: x}\r\non: yes\r\n",
        "---\nclusters:\n- {name: lab, cluster: {server: x}}\nusers: []\non: yes\n...\n",
        "clusters: # all of them\n- name: lab\n  cluster:\n    server: >-\n      x\n\n\non: yes\n",
        '"clusters":\n- "name": lab\n  cluster: &c {server: x}\n"users": []\non: yes\n',
    ],
)
def test_any_layout_is_taken_and_keeps_what_it_said(text):
    document = read(kubeconfig.merge(text, ENTRY, use_context=True))

    assert [cluster["name"] for cluster in document["clusters"]] == ["lab", "one_example"]
    assert document["clusters"][0]["cluster"]["server"] == "x"
    assert document["on"] == "yes"
    assert document["current-context"] == ENTRY.context_name
    assert item(document, "users", ENTRY.user_name)["user"] == ENTRY.user


@pytest.mark.parametrize("text", ["- a\n", "a: [", "clusters: 1\n", "users: [x]\n", "\x00"])
def test_what_is_no_kubeconfig_is_never_overwritten(tmp_path, text):
    (tmp_path / "config").write_text(text)

    with pytest.raises(UserError, match="mend it"):
        kubeconfig.update(tmp_path / "config", ENTRY, use_context=True)

    assert (tmp_path / "config").read_text() == text


def test_a_new_file_is_private_and_its_directory_too(tmp_path):
    kubeconfig.update(tmp_path / ".kube" / "config", ENTRY, use_context=False)

    assert stat.S_IMODE((tmp_path / ".kube" / "config").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / ".kube").stat().st_mode) == 0o700


def test_a_link_to_a_kubeconfig_stays_a_link(tmp_path):
    (tmp_path / "real").write_text(THEIRS)
    (tmp_path / "config").symlink_to("real")

    kubeconfig.update(tmp_path / "config", ENTRY, use_context=False)

    assert (tmp_path / "config").is_symlink()
    assert "one_example" in (tmp_path / "real").read_text()


def test_a_file_of_another_kind_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        kubeconfig.update(tmp_path, ENTRY, use_context=False)


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "config").open("wb") as file:
        file.truncate(9 * 1024 * 1024)

    with pytest.raises(UserError, match="larger than a kubeconfig"):
        kubeconfig.update(tmp_path / "config", ENTRY, use_context=False)


def test_the_file_is_the_one_kubectl_would_change(tmp_path):
    (tmp_path / "two").write_text("")
    listed = f"{tmp_path}/one:{tmp_path}/two"

    assert kubeconfig.choose_file({"KUBECONFIG": listed}, None) == tmp_path / "two"
    assert kubeconfig.choose_file({"KUBECONFIG": f"{tmp_path}/one"}, None) == tmp_path / "one"
    assert kubeconfig.choose_file({"HOME": str(tmp_path)}, None) == tmp_path / ".kube" / "config"
    assert kubeconfig.choose_file({"KUBECONFIG": listed}, tmp_path / "asked") == tmp_path / "asked"
