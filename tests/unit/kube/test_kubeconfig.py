from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.kit.secrets import Secret
from kasbah.kube import kubeconfig
from kasbah.kube.kubeconfig import KubeFlags
from kasbah.wire.identity import AsAgent, AsUser
from tests.doubles.certificates import make_certificates

CONFIG = """
apiVersion: v1
kind: Config
current-context: dev
preferences: {}
clusters:
- name: one
  cluster: {server: "https://one:6443", certificate-authority: ca.crt, tls-server-name: kubernetes.test}
- name: two
  cluster: {server: "https://two:6443", insecure-skip-tls-verify: true}
users:
- name: alice
  user: {token: alices}
- name: bob
  user: {username: bob, password: secret, as: carol, as-groups: [dev], as-user-extra: {reason: [test]}}
contexts:
- name: dev
  context: {cluster: one, user: alice, namespace: team}
- name: prod
  context: {cluster: two, user: bob}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_bytes(make_certificates().ca_pem)
    file = tmp_path / "config"
    file.write_text(CONFIG)
    return file


def changed(path: Path, old: str, new: str) -> KubeFlags:
    path.write_text(CONFIG.replace(old, new))
    return KubeFlags(kubeconfig=str(path))


def test_the_current_context_leads_to_cluster_user_and_namespace(path: Path):
    access = kubeconfig.load(KubeFlags(kubeconfig=str(path)), {})
    assert (access.authority, access.server_name, access.namespace) == ("one:6443", "kubernetes.test", "team")
    assert access.authorization.value == Secret("Bearer alices")
    assert access.identity == AsAgent()


def test_another_context_may_be_chosen(path: Path):
    access = kubeconfig.load(KubeFlags(kubeconfig=str(path), context="prod"), {})
    assert access.authority == "two:6443"
    assert access.identity == AsUser(username="carol", groups=("dev",), extra=(("reason", ("test",)),))
    assert access.authorization.value == Secret("Basic " + base64.b64encode(b"bob:secret").decode())


def test_flags_override_the_file(path: Path):
    flags = KubeFlags(
        kubeconfig=str(path),
        cluster="two",
        user="bob",
        server="https://three",
        token=Secret("flag"),
        namespace="n",
        as_user="dave",
        as_groups=("ops",),
        as_uid="7",
        insecure_skip_tls_verify=True,
    )
    access = kubeconfig.load(flags, {})
    assert (access.authority, access.namespace) == ("three", "n")
    assert access.authorization.value == Secret("Bearer flag")
    assert access.identity == AsUser(
        username="dave", groups=("ops",), uid="7", extra=(("reason", ("test",)),)
    )


def test_flags_alone_are_enough():
    access = kubeconfig.load(KubeFlags(server="http://h:1", username="u", password=Secret("p")), {})
    assert access.authorization.value == Secret("Basic dTpw")


def test_files_of_the_environment_merge_and_the_first_definition_wins(path: Path, tmp_path: Path):
    first = tmp_path / "first"
    first.write_text("users: [{name: alice, user: {token: other}}]\n")
    access = kubeconfig.load(KubeFlags(), {"KUBECONFIG": f"{first}:{tmp_path}/missing:{path}"})
    assert access.authorization.value == Secret("Bearer other")
    assert access.authority == "one:6443"


def test_the_home_folder_is_looked_into(path: Path, tmp_path: Path):
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(CONFIG.replace("ca.crt", "../ca.crt"))
    assert kubeconfig.load(KubeFlags(), {"HOME": str(tmp_path)}).authority == "one:6443"


def test_inline_data_wins_over_a_file(path: Path):
    data = base64.b64encode(make_certificates().ca_pem).decode()
    flags = changed(path, "ca.crt", f"missing.crt, certificate-authority-data: {data}")
    assert kubeconfig.load(flags, {}).tls is not None


def test_client_certificates_come_from_files_data_or_flags(path: Path, tmp_path: Path):
    made = make_certificates()
    (tmp_path / "c.pem").write_bytes(made.client_pem)
    (tmp_path / "k.pem").write_bytes(made.client_key_pem)
    key = base64.b64encode(made.client_key_pem).decode()
    kubeconfig.load(changed(path, "token: alices", f"client-certificate: c.pem, client-key-data: {key}"), {})
    kubeconfig.load(
        KubeFlags(
            kubeconfig=str(path),
            client_certificate=str(tmp_path / "c.pem"),
            client_key=str(tmp_path / "k.pem"),
            certificate_authority=str(tmp_path / "ca.crt"),
        ),
        {},
    )


def test_a_token_file_is_relative_to_its_kubeconfig(path: Path, tmp_path: Path):
    (tmp_path / "tok").write_text("filed")
    access = kubeconfig.load(changed(path, "token: alices", "tokenFile: tok, token: ignored"), {})
    assert access.authorization.value == Secret("Bearer filed")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("token: alices", "exec: {command: aws}", "exec plugin"),
        ("token: alices", "auth-provider: {name: gcp}", "auth-provider"),
        ("token: alices", 'token: "a b"', "bearer token"),
        ("token: alices", "tokenFile: missing", "cannot read the token file"),
        ("token: alices", "client-certificate-data: YQ==", "without its key"),
        ("token: alices", "as-uid: u", "need --as"),
        ("token: alices", 'as: "a\\nb"', "cannot be used"),
        ("certificate-authority: ca.crt", "proxy-url: http://p", "proxy-url"),
        ("certificate-authority: ca.crt", "certificate-authority: missing.crt", "missing.crt"),
        ("certificate-authority: ca.crt", "certificate-authority-data: A", "not base64"),
        (
            "certificate-authority: ca.crt",
            "certificate-authority: ca.crt, insecure-skip-tls-verify: true",
            "both",
        ),
        ('server: "https://one:6443"', "extensions: []", "no Kubernetes API server"),
        ("cluster: one", "cluster: none", "no cluster 'none'; it has: one, two"),
        ("user: alice", "user: eve", "no user 'eve'; it has: alice, bob"),
        ("clusters:", "clusters: 5\nx:", "shape"),
        ("clusters:", "clusters: [\n", "cannot be read: line"),
    ],
)
def test_what_cannot_be_used_is_named(path: Path, old: str, new: str, words: str):
    with pytest.raises(UserError, match=words):
        kubeconfig.load(changed(path, old, new), {})


def test_a_context_that_is_not_there_lists_those_that_are(path: Path):
    with pytest.raises(UserError, match="no context 'x'; it has: dev, prod"):
        kubeconfig.load(KubeFlags(kubeconfig=str(path), context="x"), {})


def test_a_missing_file_is_an_error_only_when_it_was_named(tmp_path: Path):
    with pytest.raises(UserError, match="cannot read the kubeconfig"):
        kubeconfig.load(KubeFlags(kubeconfig=str(tmp_path / "none")), {})
    with pytest.raises(UserError, match="no Kubernetes API server is configured"):
        kubeconfig.load(KubeFlags(), {"HOME": str(tmp_path)})


def test_a_file_of_megabytes_is_refused(tmp_path: Path):
    (tmp_path / "big").write_bytes(b"#" * (5 * 1024 * 1024))
    with pytest.raises(UserError, match="over"):
        kubeconfig.load(KubeFlags(kubeconfig=str(tmp_path / "big")), {})


def test_a_nested_bomb_is_refused(tmp_path: Path):
    (tmp_path / "deep").write_bytes(b"[" * 100_000)
    with pytest.raises(UserError, match="cannot be read"):
        kubeconfig.load(KubeFlags(kubeconfig=str(tmp_path / "deep")), {})


def test_an_error_never_quotes_the_file(path: Path):
    with pytest.raises(UserError) as caught:
        kubeconfig.load(changed(path, "token: alices", "token: alices, : {"), {})
    assert "alices" not in str(caught.value)
