"""What kas thinks a request asks for is what the API server thinks: its own audit log is the judge.

Policy, audit and scheduling go by the class of a request, so a request that is read in two ways would be let in as one
thing and done as another. Every method on every shape of path is sent to a real API server as the very bytes that kas
would forward; targets that kas refuses are never sent.
"""

from __future__ import annotations

import http.client
import time
from itertools import product
from typing import Self

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sandbox
from kasbah.kube import kubeconfig
from kasbah.kube.kubeconfig import KubeFlags
from kasbah.wire.request_target import ApiTarget, RefusedTargetError, parse_target
from sandbox.audit import Event

NAMESPACE = "/api/v1/namespaces/nowhere"
APPS = "/apis/apps/v1/namespaces/nowhere"
PATHS = [
    "/", "/api", "/apis", "/api/", "/apis/", "/version", "/openapi/v2", "/openapi/v3", "/metrics", "/logs", "/api/v1", "/api/v1/",
    "/apis/apps", "/apis/apps/", "/apis/apps/v1", "/apis/apps/v1/", "/apis/none.example/v1/things", "/apis/none.example/v1/things/a",
    "/api/v1/pods", "/api/v1/pods/", "/api/v1/nodes", "/api/v1/nodes/a", "/api/v1/nodes/a/status", "/api/v1/nodes/a/proxy",
    "/api/v1/nodes/a/proxy/", "/api/v1/nodes/a/proxy/metrics/x", "/api/v1/namespaces", "/api/v1/namespaces/", NAMESPACE, NAMESPACE + "/",
    NAMESPACE + "/status", NAMESPACE + "/finalize", NAMESPACE + "/pods", NAMESPACE + "/pods/", NAMESPACE + "/pods/a", NAMESPACE + "/pods/a/",
    NAMESPACE + "/pods/a/status", NAMESPACE + "/pods/a/log", NAMESPACE + "/pods/a/log/", NAMESPACE + "/pods/a/eviction", NAMESPACE + "/pods/a/binding",
    NAMESPACE + "/pods/a/ephemeralcontainers", NAMESPACE + "/pods/a/resize", NAMESPACE + "/pods/a/proxy", NAMESPACE + "/pods/a:8080/proxy/x/y",
    NAMESPACE + "/services/https:a:443/proxy/", NAMESPACE + "/services/a/proxy/api/v1/pods", NAMESPACE + "/serviceaccounts/a/token",
    NAMESPACE + "/replicationcontrollers/a/scale", NAMESPACE + "/configmaps/a%20b", NAMESPACE + "/configmaps/%61", NAMESPACE + "/none",
    NAMESPACE + "/none/a/b/c/d", NAMESPACE + "/events", APPS + "/deployments", APPS + "/deployments/a", APPS + "/deployments/a/scale",
    APPS + "/deployments/a/status", "/apis/apps/v1/deployments", "/api/v1/watch/pods", "/api/v1/watch/namespaces/nowhere/pods",
    "/api/v1/watch/namespaces/nowhere/pods/a", "/apis/apps/v1/watch/deployments", "/api/v1/watch", "/api/v1/watch/namespaces/nowhere",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "/apis/authentication.k8s.io/v1/tokenreviews", "/apis/batch/v1/namespaces/nowhere/jobs/a",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/a", "/apis/coordination.k8s.io/v1/namespaces/nowhere/leases/a", "/api/v2/pods", "/apis/apps/v9/deployments",
    "/api/v1/namespaces/status", "/api/v1/namespaces/pods/pods", "/api/v1/namespaces/nowhere/status/status", "/unknown/a/b", "/api/v1/proxy/nodes/a",
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
QUERIES = ["", "dryRun=All", "watch=0", "watch=false", "limit=1", "fieldSelector=metadata.name%3Da"]
SHORT_WATCHES = [
    "watch=1&timeoutSeconds=1",
    "watch=true&timeoutSeconds=1",
    "watch&timeoutSeconds=1",
    "watch=yes&timeoutSeconds=1",
]


def targets() -> list[tuple[str, str]]:
    """Method and target; whatever would change something is a trial or names nothing that is there."""
    found = [(method, f"{path}?dryRun=All") for method, path in product(METHODS, PATHS)]
    found += [("GET", f"{path}?{query}") for path, query in product(PATHS[18:40], QUERIES)]
    watched = [NAMESPACE + "/pods", "/api/v1/pods", NAMESPACE + "/pods/a", NAMESPACE, "/api/v1/watch/pods"]
    found += [
        (method, f"{path}?{query}")
        for method, path, query in product(("GET", "HEAD"), watched, SHORT_WATCHES)
    ]
    return found


class Direct:
    """The API server without kas, as its administrator."""

    def __init__(self, cluster: sandbox.Cluster) -> None:
        access = kubeconfig.load(KubeFlags(kubeconfig=str(cluster.admin_kubeconfig)), {})
        self._connection = http.client.HTTPSConnection(
            access.host, access.port, context=access.tls, timeout=10
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, method: str, target: str) -> None:
        self._connection.request(
            method, target, headers={"Content-Type": "application/json", "Accept": "*/*"}
        )
        self._connection.getresponse().read()


def ours(target: ApiTarget) -> dict[str, str]:
    found = {
        "verb": target.verb,
        "group": target.group,
        "version": target.version,
        "resource": target.resource,
    }
    found |= {"subresource": target.subresource, "namespace": target.namespace, "name": target.name}
    return found


def theirs(event: Event) -> dict[str, str]:
    thing = event.get("objectRef", {})
    keys = {"group": "apiGroup", "version": "apiVersion", "resource": "resource"}
    keys |= {"subresource": "subresource", "namespace": "namespace", "name": "name"}
    return {"verb": event["verb"], **{key: thing.get(name, "") for key, name in keys.items()}}


@pytest.mark.timeout(180)
def test_every_request_is_read_as_the_api_server_reads_it(control_plane: sandbox.Cluster, tally):
    since = control_plane.audit.position()
    sent: dict[str, ApiTarget] = {}
    with Direct(control_plane) as direct:
        for number, (method, target) in enumerate(targets()):
            raw = f"{target}&kasbah-case={number}"
            try:
                sent[raw] = parse_target(method.encode(), raw.encode())
            except RefusedTargetError:
                tally("refused")
                continue
            direct.send(method, raw)
    time.sleep(1)  # noqa: TID251 - the log is written by another program
    seen = {
        event["requestURI"]: event
        for event in control_plane.audit.events(since)
        if "kasbah-case" in event["requestURI"]
    }
    strange = []
    for raw, target in sent.items():
        if raw not in seen:
            tally("not audited")
            continue
        here, there = ours(target), theirs(seen[raw])
        if target.verb == "proxy":
            there["verb"] = "proxy"  # the API server says get, create…; we say what it amounts to
        tally("alike" if here == there else "different")
        if here != there:
            strange.append(f"{raw}\n  kas:        {here}\n  API server: {there}")
    assert len(seen) >= 400
    assert not strange, "\n".join(strange)


PCHAR = st.text("abcXYZ019-._~!$&'()*+,=:@%/;\\ \x00é?#", max_size=24)


@given(path=PCHAR, query=PCHAR)
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_accepted_is_forwarded_byte_for_byte(path, query):
    raw = f"/{path}?{query}".encode()
    try:
        target = parse_target(b"GET", raw)
    except RefusedTargetError:
        return
    assert target.raw == raw
    assert b".." not in raw.partition(b"?")[0].split(b"/")
