"""What a cluster promises whoever holds it: speed, people, restarts, company, Services on a real node."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

import sandbox


def _as(cluster: sandbox.Cluster, kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [cluster.binary("kubectl"), f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_made_up_person_is_known_by_name_and_groups(control_plane: sandbox.Cluster) -> None:
    who = _as(control_plane, control_plane.kubeconfig_for("ada", ["dev"]), "auth", "whoami", "-o", "json")
    told = json.loads(who.stdout)["status"]["userInfo"]
    assert (told["username"], told["groups"]) == ("ada", ["dev", "system:authenticated"])


def test_a_made_up_person_may_do_nothing_by_default(control_plane: sandbox.Cluster) -> None:
    refused = _as(control_plane, control_plane.kubeconfig_for("ada", ["dev"]), "get", "pods")
    assert 'pods is forbidden: User "ada"' in refused.stderr


def test_a_stopped_api_server_answers_again_after_its_start(control_plane: sandbox.Cluster) -> None:
    control_plane.stop_api_server()
    gone = control_plane.kubectl("get", "nodes", check=False)
    control_plane.start_api_server()
    assert (gone.returncode, control_plane.kubectl("get", "nodes").returncode) == (1, 0)


def test_kubeconfigs_survive_a_restart_of_the_api_server(control_plane: sandbox.Cluster) -> None:
    before = control_plane.admin_kubeconfig.read_bytes()
    control_plane.restart_api_server()
    assert control_plane.admin_kubeconfig.read_bytes() == before
    assert control_plane.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_the_audit_log_names_each_request_as_its_sender_did(control_plane: sandbox.Cluster) -> None:
    since = control_plane.audit.position()
    asked = [f"{number:032x}" for number in range(1, 21)]
    for name in asked:
        assert _get(control_plane, "/api/v1/namespaces/default", name) == 200
    events = [event for event in control_plane.audit.events(since) if event["auditID"] in asked]
    assert [event["auditID"] for event in events] == asked
    assert {(event["verb"], event["objectRef"]["name"], event["stage"]) for event in events} == {
        ("get", "default", "ResponseComplete")
    }


def test_the_audit_log_leaves_out_health_and_signs_of_life(control_plane: sandbox.Cluster) -> None:
    since = control_plane.audit.position()
    control_plane.kubectl("get", "--raw", "/readyz")
    control_plane.kubectl("get", "leases", "-n", "kube-node-lease")
    control_plane.kubectl("get", "leases", "-n", "default")
    seen = [event["requestURI"] for event in control_plane.audit.events(since)]
    assert not any("/readyz" in uri or "/namespaces/kube-node-lease/leases" in uri for uri in seen)
    assert any("/namespaces/default/leases" in uri for uri in seen)


def _get(cluster: sandbox.Cluster, path: str, audit_id: str) -> int:
    config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json").stdout)
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}", "Audit-Id": audit_id}
    with httpx2.Client(verify=ssl.create_default_context(cafile=cluster.ca_file), trust_env=False) as client:
        return client.get(cluster.api_server + path, headers=headers).status_code


def test_the_version_is_the_pinned_one(control_plane: sandbox.Cluster) -> None:
    versions = json.loads(control_plane.kubectl("version", "-o", "json").stdout)
    assert versions["serverVersion"]["gitVersion"] == versions["clientVersion"]["gitVersion"] == "v1.36.3"


def test_a_failing_kubectl_says_why(control_plane: sandbox.Cluster) -> None:
    with pytest.raises(sandbox.SandboxError, match='pods "nobody" not found'):
        control_plane.kubectl("get", "pod", "nobody")


def test_a_deployment_becomes_ready(either_cluster: sandbox.Cluster) -> None:
    either_cluster.kubectl("create", "deployment", "ready", f"--image={sandbox.IMAGE}")
    either_cluster.kubectl("rollout", "status", "deployment/ready", "--timeout=40s")
    either_cluster.kubectl("delete", "deployment", "ready", "--wait=false")


@pytest.mark.cluster
def test_two_clusters_live_side_by_side_each_with_its_flags(control_plane: sandbox.Cluster) -> None:
    with sandbox.control_plane(users={"bob": []}, api_server_flags=["--profiling=false"]) as second:
        profiles = [
            one.kubectl("get", "--raw", "/debug/pprof/", check=False) for one in (control_plane, second)
        ]
        assert [done.returncode for done in profiles] == [0, 1]
        second.kubectl("create", "namespace", "only-here")
        assert control_plane.kubectl("get", "namespace", "only-here", check=False).returncode == 1


def test_an_existing_context_is_copied_alone(control_plane: sandbox.Cluster) -> None:
    with sandbox.existing("kasbah-sandbox", control_plane.admin_kubeconfig) as cluster:
        assert "kwok-node" in cluster.kubectl("get", "nodes").stdout
        copy = cluster.admin_kubeconfig
    assert not copy.exists()


def test_an_unknown_context_is_refused_by_name(control_plane: sandbox.Cluster) -> None:
    with (
        pytest.raises(sandbox.CannotRunError, match="nowhere"),
        sandbox.existing("nowhere", control_plane.admin_kubeconfig),
    ):
        pass


def test_services_of_a_real_node_answer_from_the_host_and_from_pods(
    real_node_cluster: sandbox.Cluster,
) -> None:
    cluster = real_node_cluster
    cluster.kubectl("run", "server", f"--image={sandbox.IMAGE}", "--port=8080")
    cluster.kubectl("expose", "pod", "server", "--port=80", "--target-port=8080")
    cluster.kubectl("run", "client", f"--image={sandbox.IMAGE}")
    cluster.kubectl("wait", "pod/server", "pod/client", "--for=condition=Ready", "--timeout=40s")
    address = cluster.kubectl("get", "service", "server", "-o", "jsonpath={.spec.clusterIP}").stdout
    # Before kube-proxy has heard of the service, what is sent to it is lost, and wget would wait for minutes.
    fetch = f"for i in $(seq 15); do timeout 1 wget -qO- http://{address}/ && exit; sleep 0.3; done"
    assert (
        cluster.kubectl("exec", "client", "--", "sh", "-c", fetch).stdout
        == "hello from a pod of the sandbox\n"
    )
    proxied = cluster.kubectl("get", "--raw", "/api/v1/namespaces/default/services/server/proxy/").stdout
    assert proxied == "hello from a pod of the sandbox\n"


def test_pods_of_a_real_node_reach_the_api_server_with_their_own_account(
    real_node_cluster: sandbox.Cluster,
) -> None:
    cluster = real_node_cluster
    cluster.kubectl("run", "inside", f"--image={sandbox.IMAGE}")
    cluster.kubectl("wait", "pod/inside", "--for=condition=Ready", "--timeout=40s")
    ask = "echo | nc -w 2 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT >/dev/null && wc -c < "
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    assert int(cluster.kubectl("exec", "inside", "--", "sh", "-c", ask + token).stdout) > 100


@pytest.mark.cluster
def test_up_leaves_a_cluster_running_that_down_stops(control_plane: sandbox.Cluster) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "sandbox", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    about = json.loads(run("up", "--another", "--node=kwok", "--user=eve:ops", "-o", "json"))
    assert _as(control_plane, Path(about["users"]["eve"]), "auth", "whoami").stdout.count("eve") == 1
    assert about["api_server"] in run("status")
    assert f"stopped {about['api_server']}" in run("down", Path(about["directory"]).name)
    assert not Path(about["directory"]).exists()
