from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from kasbah.agentk import settings
from kasbah.agentk.reverse_tunnel.settings import TunnelChoice
from kasbah.agentk.settings import AgentkSettings
from kasbah.errors import UserError
from kasbah.kit.secrets import Secret

KAS = "--kas-address=ws://kas.test/-/kubernetes-agent/"
TOKEN = {"AGENTK_TOKEN": "glagent-abc"}


def parse(*arguments: str, environment: Mapping[str, str] = TOKEN) -> AgentkSettings:
    return settings.parse(arguments, environment, "laptop")


def refused(*arguments: str, environment: Mapping[str, str] = TOKEN) -> str:
    with pytest.raises(UserError) as caught:
        parse(*arguments, environment=environment)
    return str(caught.value)


def test_an_address_and_a_token_are_enough():
    made = parse(KAS)
    assert (made.tunnel.address.host, made.tunnel.address.tls) == ("kas.test", False)
    assert made.token == Secret("glagent-abc")
    assert (made.pod.namespace, made.pod.name) == ("default", "laptop")
    assert (made.observability.address, made.observability.address_given) == (":8080", False)


def test_a_token_file_loses_one_newline(tmp_path: Path):
    (tmp_path / "token").write_text("glagent-xyz\n")
    assert parse(KAS, f"--token-file={tmp_path}/token", environment={}).token == Secret("glagent-xyz")


def test_two_tokens_and_none_are_refused_in_gitlabs_words(tmp_path: Path):
    assert refused(KAS, f"--token-file={tmp_path}/token") == (
        "unable to use both token file and AGENTK_TOKEN environment variable to set the agent token"
    )
    assert refused(KAS, environment={}) == (
        "agent token not set. Please set either token file or AGENTK_TOKEN environment variable"
    )


@pytest.mark.parametrize("content", [b"", b"\n", b"a b", b"a\n\n", b"\xff", b"x" * 1_000_000])
def test_a_file_that_holds_no_token_is_refused_without_showing_it(tmp_path: Path, content: bytes):
    (tmp_path / "token").write_bytes(content)
    text = refused(KAS, f"--token-file={tmp_path}/token", environment={})
    assert "does not hold an agent token" in text
    assert len(text) < 300


def test_a_missing_token_file_is_named(tmp_path: Path):
    assert "No such file" in refused(KAS, f"--token-file={tmp_path}/none", environment={})


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_an_unknown_scheme_is_refused_in_gitlabs_words(scheme: str):
    text = refused(f"--kas-address={scheme}://kas")
    assert text == f'unsupported scheme in GitLab Kubernetes Agent Server address: "{scheme}"'


def test_an_address_is_required():
    assert "--kas-address is required" in refused()


def test_in_a_cluster_the_pod_must_be_named():
    cluster = TOKEN | {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    assert refused(KAS, environment=cluster) == "POD_NAMESPACE environment variable is required but is empty"
    named = cluster | {"POD_NAMESPACE": "agents", "POD_NAME": "agentk-0", "SERVICE_ACCOUNT_NAME": "agentk"}
    pod = parse(KAS, environment=named).pod
    assert (pod.namespace, pod.name, pod.service_account) == ("agents", "agentk-0", "agentk")


def test_with_a_kubeconfig_a_pod_need_not_be_named():
    cluster = TOKEN | {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    assert parse(KAS, "--kubeconfig=f", environment=cluster).pod.name == "laptop"


@pytest.mark.parametrize("scheme", ["grpc", "grpcs"])
def test_gitlabs_other_schemes_are_taken(scheme: str):
    assert parse(f"--kas-address={scheme}://kas").tunnel.address.grpc


def test_the_tunnel_is_kas_choice_unless_somebody_looks_for_a_problem():
    assert parse(KAS).tunnel.tunnel is TunnelChoice.AUTO
    assert parse(KAS, "--kas-tunnel=grpc").tunnel.tunnel is TunnelChoice.GRPC
    assert "needs a ws:// or wss:// address" in refused("--kas-address=grpc://kas", "--kas-tunnel=native")


@pytest.mark.parametrize("name", ["Authorization", "TE", "grpc-timeout", "x-bin", "Host"])
def test_a_header_that_cannot_be_metadata_is_refused_with_grpc_only(name: str):
    header = f"--kas-header={name}: x"
    assert parse(KAS, header).tunnel.headers == ((name, "x"),)
    assert "may not have this name" in refused("--kas-address=grpc://kas", header)


def test_a_certificate_for_kas_needs_its_key(tmp_path: Path):
    (tmp_path / "c").touch()
    (tmp_path / "k").touch()
    assert "go together" in refused(KAS, f"--kas-client-key-file={tmp_path}/k")
    made = parse(KAS, f"--kas-client-cert-file={tmp_path}/c", f"--kas-client-key-file={tmp_path}/k").tunnel
    assert (made.client_certificate_file, made.client_key_file) == (tmp_path / "c", tmp_path / "k")


def test_headers_may_be_given_several_times():
    made = parse(KAS, "--kas-header", "Cookie: canary=1", "--kas-header=X: y")
    assert made.tunnel.headers == (("Cookie", "canary=1"), ("X", "y"))
    assert "invalid header supplied: 'nonsense'" in refused(KAS, "--kas-header=nonsense")


@pytest.mark.parametrize("flag", ["--kas-ca-cert-file", "--ca-cert-file"])
def test_the_authority_of_kas_has_an_old_name_too(tmp_path: Path, flag: str):
    (tmp_path / "ca").touch()
    assert parse(KAS, f"{flag}={tmp_path}/ca").tunnel.ca_file == tmp_path / "ca"
    assert "there is no file" in refused(KAS, f"{flag}={tmp_path}/none")


def test_switches_are_gos():
    assert parse(KAS, "--kas-insecure-skip-tls-verify").tunnel.insecure_skip_tls_verify
    assert not parse(KAS, "--kas-insecure-skip-tls-verify=false").tunnel.insecure_skip_tls_verify
    assert parse(KAS).kube.insecure_skip_tls_verify is None
    with pytest.raises(SystemExit):
        parse(KAS, "--insecure-skip-tls-verify=maybe")


def test_kubectls_flags_reach_the_kubeconfig_reader():
    kube = parse(
        *(KAS, "-n", "ns", "-s", "https://h", "--context=c", "--cluster=cl", "--user=u", "--token=t"),
        *("--as=a", "--as-group=g", "--as-group=h", "--as-uid=1", "--username=n", "--password=p"),
        *("--cache-dir=/x", "--request-timeout=5s", "--disable-compression"),
    ).kube
    assert (kube.namespace, kube.server, kube.context, kube.cluster, kube.user) == (
        "ns",
        "https://h",
        "c",
        "cl",
        "u",
    )
    assert (kube.token, kube.as_user, kube.as_groups, kube.as_uid) == (Secret("t"), "a", ("g", "h"), "1")
    assert (kube.username, kube.password) == ("n", Secret("p"))


def test_proxies_come_from_the_environment_in_either_case():
    proxy = parse(KAS, environment=TOKEN | {"https_proxy": "http://p:1", "NO_PROXY": "x"}).tunnel.proxy
    assert (proxy.https_proxy, proxy.no_proxy) == (Secret("http://p:1"), "x")


def test_a_certificate_for_the_probes_needs_its_key(tmp_path: Path):
    (tmp_path / "c").touch()
    assert "go together" in refused(KAS, f"--observability-cert-file={tmp_path}/c")
    made = parse(
        KAS,
        f"--observability-cert-file={tmp_path}/c",
        f"--observability-key-file={tmp_path}/c",
        "--observability-listen-address=:9",
    )
    assert made.observability.address_given


def test_help_teaches(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "AGENTK_TOKEN" in shown


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse("--version")
    assert capsys.readouterr().out.startswith("agentk version v")


def test_every_flag_and_variable_is_documented(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    page = (Path(__file__).parents[3] / "docs" / "reference" / "agentk.md").read_text()
    for word in re.findall(r"(?:^|[ ,])(--[a-z-]+|[A-Z_]+_[A-Z]+)", shown):
        assert f"`{word}" in page or word in {"--help", "--version"}, word
