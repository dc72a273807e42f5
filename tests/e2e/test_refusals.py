"""What a cluster's 403 says through kas, and whether its advice is true: applied, exactly the request passes.

Seeded: the seed is printed, and KASBAH_REFUSALS_SEED gives it again; KASBAH_REFUSALS says how many.
"""

from __future__ import annotations

import copy
import http.client
import json
import os
import random
import re
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import yaml

import sandbox
from kasbah.kas.http_server.router import PROXY_PREFIX
from tests.e2e.kubectl import run_pod
from tests.e2e.test_identities import CONFIGURATION, Office, until_allowed
from tests.e2e.world import Program, World

pytestmark = pytest.mark.cluster

COUNT = int(os.environ.get("KASBAH_REFUSALS", "40"))
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NAMESPACE = "refusals"
NOBODYS = "kasbah-nobodys"
"""Names nothing that anybody asks for."""
OBJECTS = {
    ("", "v1"): [
        "configmaps",
        "secrets",
        "pods",
        "services",
        "serviceaccounts",
        "resourcequotas",
        "widgets",
    ],
    ("apps", "v1"): ["deployments", "statefulsets", "daemonsets", "replicasets"],
    ("batch", "v1"): ["jobs", "cronjobs"],
    ("networking.k8s.io", "v1"): ["ingresses", "networkpolicies"],
    ("rbac.authorization.k8s.io", "v1"): ["roles", "rolebindings"],
    ("example.com", "v1alpha1"): ["gadgets"],
}
CLUSTER_WIDE = {
    ("", "v1"): ["nodes", "persistentvolumes", "namespaces"],
    ("storage.k8s.io", "v1"): ["storageclasses", "csinodes"],
    ("rbac.authorization.k8s.io", "v1"): ["clusterroles", "clusterrolebindings"],
    ("apiextensions.k8s.io", "v1"): ["customresourcedefinitions"],
}
SUBRESOURCES = {
    "pods": ["log", "status", "exec", "attach", "portforward", "eviction", "ephemeralcontainers"],
    "services": ["status"],
    "deployments": ["scale", "status"],
    "statefulsets": ["scale"],
    "serviceaccounts": ["token"],
    "nodes": ["status"],
    "namespaces": ["finalize", "status"],
}
NAMES = [
    "web",
    "web-0",
    "a.b.c",
    "system:node",
    "0123",
    "yes",
    "null",
    "it's",
    'say "hi"',
    "tür",
    "€-\U0001f600",
    "x" * 253,
    "1e3",
]
PATHS = [
    "/metrics",
    "/logs/kube-apiserver.log",
    "/debug/pprof/heap",
    "/statusz",
    "/a b/ü",
    "/.well-known/x",
    "/apis2/yes",
]
PIPES = frozenset({"exec", "attach", "portforward"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None

    def neighbour(self) -> Ask:
        """A request that differs in one letter of its path."""
        path, mark, query = self.path.partition("?")
        headers = {} if "Upgrade" in self.headers else self.headers
        return Ask(self.method, f"{path}x{mark}{query}", headers, self.body)


def random_ask(dice: random.Random) -> Ask:
    if dice.random() < 0.1:
        return Ask(dice.choice(["GET", "POST", "PUT", "DELETE"]), quote(dice.choice(PATHS)))
    if dice.random() < 0.05:
        pipe = dice.choice(sorted(PIPES))
        return _on_subresource(
            dice, f"/api/v1/namespaces/default/pods/{quote(dice.choice(NAMES))}/{pipe}", pipe
        )
    wide = dice.random() < 0.3
    (group, version), resources = dice.choice(list((CLUSTER_WIDE if wide else OBJECTS).items()))
    resource = dice.choice(resources)
    base = f"/apis/{group}/{version}" if group else f"/api/{version}"
    in_namespace = "" if wide or dice.random() < 0.15 else "/namespaces/default"
    path = f"{base}{in_namespace}/{resource}"
    if dice.random() < 0.4:
        return _on_collection(dice, path, all_namespaces=not (wide or in_namespace))
    name = quote(dice.choice(NAMES if resource != "namespaces" else [NAMESPACE]))
    subresource = dice.choice([*SUBRESOURCES.get(resource, []), "", ""])
    if not subresource:
        return _on_object(dice, f"{path}/{name}")
    return _on_subresource(dice, f"{path}/{name}/{subresource}", subresource)


def _on_collection(dice: random.Random, path: str, *, all_namespaces: bool) -> Ask:
    what = dice.choice(["list", "list", "watch", "create", "deletecollection", "named", "named watch"])
    by_name = f"fieldSelector=metadata.name%3D{quote(dice.choice(['web', 'yes', 'a.b']), safe='')}"
    if what in {"list", "watch"} or all_namespaces:
        return Ask("GET", path + ("?watch=1&timeoutSeconds=1" if what == "watch" else "?limit=1"))
    if what == "create":
        return Ask("POST", f"{path}?dryRun=All", {"Content-Type": "application/json"}, "{}")
    if what == "deletecollection":
        return Ask("DELETE", f"{path}?dryRun=All&labelSelector=none%3Dsuch")
    return Ask("GET", f"{path}?{by_name}" + ("&watch=true&timeoutSeconds=1" if what == "named watch" else ""))


def _on_object(dice: random.Random, path: str) -> Ask:
    method = dice.choice(["GET", "PUT", "PATCH", "DELETE"])
    if method == "GET":
        return Ask(method, path)
    types = ["application/merge-patch+json", "application/strategic-merge-patch+json"]
    content_type = dice.choice(types) if method == "PATCH" else "application/json"
    return Ask(
        method, f"{path}?dryRun=All", {"Content-Type": content_type}, "{}" if method != "DELETE" else None
    )


def _on_subresource(dice: random.Random, path: str, subresource: str) -> Ask:
    if subresource in PIPES and dice.random() < 0.7:
        query = "?command=id&stdout=true" if subresource != "portforward" else "?ports=80"
        if dice.random() < 0.5:
            return Ask("POST", path + query, {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"})
        websocket = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
        }
        return Ask("GET", path + query, websocket)
    method = dice.choice(["GET", "POST", "PUT", "PATCH"])
    if method == "GET":
        return Ask(method, path)
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    return Ask(method, f"{path}?dryRun=All", {"Content-Type": content_type}, "{}")


class Asker:
    """One person's requests, at kas."""

    def __init__(self, world: World, bearer: str) -> None:
        self._context = ssl.create_default_context(cafile=world.ca_file)
        self._port = world.ports["https"]
        self._headers = {"Authorization": f"Bearer {bearer}"}
        self._connection: http.client.HTTPSConnection | None = None
        self.asked = 0

    def ask(self, ask: Ask) -> tuple[int, str]:
        """Status and, of a refusal, the message."""
        self.asked += 1
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", self._port, context=self._context, timeout=20
            )
        target = PROXY_PREFIX.decode().rstrip("/") + ask.path
        self._connection.request(ask.method, target, ask.body, self._headers | ask.headers)
        answer = self._connection.getresponse()
        if answer.status != 403:
            self.close()  # it may be a watch, or another protocol by now
            return answer.status, ""
        return 403, json.loads(answer.read())["message"]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def until(self, ask: Ask, *, refused: bool) -> None:
        """Until the API server's authoriser has heard of a change."""
        deadline = time.monotonic() + 15
        while ((told := self.ask(ask))[0] == 403) != refused:
            assert time.monotonic() < deadline, f"{ask} is {told[0]} {told[1]}"
            time.sleep(0.002)  # noqa: TID251 - a real API server, nothing to wait on


class Administrator:
    """Applies roles and bindings, as somebody with all rights."""

    def __init__(self, cluster: sandbox.Cluster) -> None:
        user = yaml.safe_load(cluster.admin_kubeconfig.read_text())["users"][0]["user"]
        context = ssl.create_default_context(cafile=cluster.ca_file)
        self._client = httpx2.Client(
            base_url=cluster.api_server,
            verify=context,
            trust_env=False,
            headers={"Authorization": f"Bearer {user['token']}"},
        )

    def create(self, document: dict[str, Any]) -> None:
        self._send("POST", self._path(document), document)

    def replace(self, document: dict[str, Any]) -> None:
        self._send("PUT", f"{self._path(document)}/{document['metadata']['name']}", document)

    def delete(self, document: dict[str, Any]) -> None:
        self._send("DELETE", f"{self._path(document)}/{document['metadata']['name']}", None)

    def close(self) -> None:
        self._client.close()

    @staticmethod
    def _path(document: dict[str, Any]) -> str:
        namespace = document["metadata"].get("namespace")
        return f"{RBAC}{f'/namespaces/{namespace}' if namespace else ''}/{document['kind'].lower()}s"

    def _send(self, method: str, path: str, document: dict[str, Any] | None) -> None:
        answer = self._client.request(method, path, json=document)
        assert answer.status_code < 300, f"{method} {path}: {answer.text}\n{document}"


def advised(message: str) -> list[dict[str, Any]]:
    """The role and the binding of an explanation."""
    found = re.search(r"^apiVersion: .*", message, re.MULTILINE | re.DOTALL)
    assert found, message
    return list(yaml.safe_load_all(found[0]))


def with_one_entry_less(
    role: dict[str, Any], binding: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The role or the binding without one of its entries; where one must be, a word stands that is nobody's."""
    for number, rule in enumerate(role["rules"]):
        for key, entries in rule.items():
            for entry in entries:
                others = [other for other in entries if other != entry]
                changed = copy.deepcopy(role)
                changed["rules"][number][key] = others or [
                    "/" + NOBODYS if key == "nonResourceURLs" else NOBODYS
                ]
                yield key, changed
    for subject in binding["subjects"]:
        yield "subjects", binding | {"subjects": [s for s in binding["subjects"] if s != subject]}


@pytest.fixture(scope="module")
def office(fresh_world: World) -> Iterator[Office]:
    made = Office(fresh_world)
    made.agentk.start()
    try:
        until_allowed(made, made.developer)
        yield made
    finally:
        made.agentk.kill()


@pytest.fixture(scope="module")
def administrator(office: Office) -> Iterator[Administrator]:
    made = Administrator(office.world.cluster)
    office.world.cluster.kubectl("create", "namespace", NAMESPACE)
    yield made
    made.close()


@pytest.mark.timeout(max(60, COUNT * 3))
def test_the_advice_allows_exactly_the_request_and_needs_each_of_its_lines(
    office: Office, administrator: Administrator, capsys: pytest.CaptureFixture[str]
):
    seed = int(os.environ.get("KASBAH_REFUSALS_SEED", random.randrange(1 << 32)))
    dice, tally = random.Random(seed), Counter[str]()
    asker = Asker(office.world, office.bearer(office.developer))
    began = time.monotonic()
    try:
        for number in range(COUNT):
            ask = random_ask(dice)
            try:
                prove(ask, asker, administrator, tally)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, number {number}, {ask}: {error}") from error
    finally:
        asker.close()
    with capsys.disabled():
        sys.stdout.write(
            f"\nrefusals: seed {seed}, {tally['passed']} of {COUNT} pass with their advice, "
            f"{tally['neighbours']} neighbours stay refused, entries left out and refused again: "
            + ", ".join(
                f"{key} {n}" for key, n in sorted(tally.items()) if key not in {"passed", "neighbours"}
            )
            + f"; {asker.asked} requests in {time.monotonic() - began:.0f} s\n"
        )
    assert tally["passed"] == tally["neighbours"] == COUNT


def prove(ask: Ask, asker: Asker, administrator: Administrator, tally: Counter[str]) -> None:
    """Applied, exactly this passes; with one entry less, it does not."""
    status, message = asker.ask(ask)
    assert status == 403, f"{status} {message}"
    role, binding = advised(message)
    administrator.create(role)
    administrator.create(binding)
    try:
        asker.until(ask, refused=False)
        tally["passed"] += 1
        assert asker.ask(ask.neighbour())[0] == 403
        tally["neighbours"] += 1
        for key, changed in with_one_entry_less(role, binding):
            administrator.replace(changed)
            asker.until(ask, refused=True)
            administrator.replace(role if changed["kind"] == role["kind"] else binding)
            asker.until(ask, refused=False)
            tally[key] += 1
    finally:
        administrator.delete(binding)
        administrator.delete(role)
    asker.until(ask, refused=True)


def explained(office: Office, *arguments: str, bearer: str = "", stdin: str | None = None) -> str:
    """What kubectl prints when the cluster refuses."""
    token = bearer or office.bearer(office.developer)
    done = office.world.kubectl("--token", token, *arguments, check=False, stdin=stdin)
    assert done.returncode != 0
    return done.stderr


def test_kubectl_prints_who_one_is_and_what_would_help(office: Office):
    told = explained(office, "get", "pods")
    said = 'User "gitlab:user:dora" cannot list resource "pods" in API group "" in the namespace "default"'
    assert told.startswith(
        f"Error from server (Forbidden): pods is forbidden: {said}\n\n"
        "you        dora, by a personal access token\n"
        "acting as  gitlab:user:dora\n"
        "in groups  gitlab:user, gitlab:project_role:"
    )
    assert advised(told)[0]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]


def test_the_line_that_let_somebody_in_is_told(office: Office):
    """As the hub tells it: the first entry that counts, and where it stands in the file."""
    told = explained(office, "get", "pods")
    found = re.search(
        r"^let in by  (user_access\.\w+)\[0\] in (\S+) line (\d+) of ops/fleet$", told, re.MULTILINE
    )
    assert found, told
    entry, file, line = found.groups()
    assert file == ".gitlab/agents/people/config.yaml"
    section = entry.removeprefix("user_access.")
    assert CONFIGURATION.splitlines()[int(line) - 1].strip().startswith(f"{section}:")


def test_whoever_chose_an_identity_hears_of_that_one(office: Office):
    bearer = office.bearer(office.developer, office.world.agent_id)
    told = explained(office, "--as", "alice", "--as-group", "staff", "get", "pods", bearer=bearer)
    assert "acting as  alice (your choice)\nin groups  staff\n" in told
    assert advised(told)[1]["subjects"][0]["name"] == "alice"


def test_an_exec_is_refused_and_allowed_in_steps(office: Office, administrator: Administrator):
    """kubectl looks at the pod first; then it tries a WebSocket, and tells what that one was refused for."""
    pod = run_pod(office.world.cluster)
    applied: list[dict[str, Any]] = []
    asker = Asker(office.world, office.bearer(office.developer))
    try:
        path = f"/api/v1/namespaces/default/pods/{pod}"
        spdy = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
        steps = {
            "pods": Ask("GET", path),
            "pods/exec": Ask("POST", f"{path}/exec?command=true&stdout=true", spdy),
        }
        for resource, ask in steps.items():
            told = explained(office, "exec", pod, "--", "echo", "hello")
            assert f'resource "{resource}"' in told
            role, binding = advised(told)
            assert (role["rules"][0]["resources"], role["rules"][0]["resourceNames"]) == ([resource], [pod])
            for document in (role, binding):
                administrator.create(document)
                applied.append(document)
            asker.until(ask, refused=False)
        done = office.world.kubectl(
            "--token", office.bearer(office.developer), "exec", pod, "--", "echo", "hello"
        )
        assert done.stdout == "hello\n"
    finally:
        asker.close()
        for document in applied:
            administrator.delete(document)


def test_a_jobs_right_is_its_environments(office: Office, administrator: Administrator):
    """The advice for one job lets the next one of the environment pass, and none of another."""
    bearers = [
        f"ci:{office.agent_id}:{office.job('shop', environment).token}"
        for environment in ("production", "production", "review/1")
    ]
    told = explained(office, "get", "pods", bearer=bearers[0])
    group = f"gitlab:project_env:{office.project_ids['shop']}:production"
    assert re.match(r"you        job \d+ of root, by a job's token\n", told.partition("\n\n")[2])
    assert f"To allow exactly this to everybody in {group}, an administrator" in told
    role, binding = advised(told)
    assert binding["subjects"] == [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]
    askers = [Asker(office.world, bearer) for bearer in bearers]
    ask = Ask("GET", "/api/v1/namespaces/default/pods")
    administrator.create(role)
    administrator.create(binding)
    try:
        askers[1].until(ask, refused=False)
        assert [asker.ask(ask)[0] for asker in askers] == [200, 200, 403]
    finally:
        for asker in askers:
            asker.close()
        administrator.delete(binding)
        administrator.delete(role)


def test_the_machines_part_is_the_clusters_own(office: Office):
    direct = office.world.cluster.kubeconfig_for("gitlab:user:dora")
    raw = ("get", "--raw", "/api/v1/namespaces/default/pods/web")
    itself = subprocess.run(
        [office.world.cluster.binary("kubectl"), f"--kubeconfig={direct}", *raw],
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    assert explained(office, *raw).partition("\n\n")[0] == itself.rstrip("\n")


@pytest.mark.parametrize("media_type", ["json", "yaml", "vnd.kubernetes.protobuf"])
def test_every_type_the_cluster_speaks_is_explained(office: Office, media_type: str):
    asked = {
        "Authorization": f"Bearer {office.bearer(office.developer)}",
        "Accept": f"application/{media_type}",
    }
    with office.world.client() as client:
        answer = client.get(office.world.proxy + "/api/v1/nodes", headers=asked)
    assert (answer.status_code, answer.headers["content-type"]) == (403, f"application/{media_type}")
    assert b"acting as  gitlab:user:dora" in answer.content
    assert b"kind: ClusterRole" in answer.content


def test_what_goes_through_to_a_pod_is_not_explained(office: Office):
    told = explained(office, "get", "--raw", "/api/v1/namespaces/default/pods/web/proxy/")
    assert 'cannot get resource "pods/proxy"' in told
    assert "acting as" not in told


def test_a_server_side_apply_of_something_new_takes_two_roles(office: Office, administrator: Administrator):
    applied: list[dict[str, Any]] = []
    thing = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}})
    try:
        for verb in ("patch", "create"):
            told = explained(office, "apply", "--server-side", "-f", "-", stdin=thing)
            assert f"cannot {verb} resource" in told
            for document in advised(told):
                administrator.create(document)
                applied.append(document)
            asker = Asker(office.world, office.bearer(office.developer))
            apply = Ask(
                "PATCH",
                "/api/v1/namespaces/default/configmaps/new?fieldManager=a&dryRun=All",
                {"Content-Type": "application/apply-patch+yaml"},
                thing,
            )
            until_said(asker, apply, "cannot create" if verb == "patch" else "")
            asker.close()
    finally:
        for document in applied:
            administrator.delete(document)


def until_said(asker: Asker, ask: Ask, part: str) -> None:
    """Until the answer is a refusal with this part; with an empty one, until it is none."""
    deadline = time.monotonic() + 15
    while True:
        status, message = asker.ask(ask)
        if status == 403 and part in message if part else status != 403:
            return
        assert time.monotonic() < deadline, f"{status} {message}"
        time.sleep(0.002)  # noqa: TID251 - a real API server, nothing to wait on


def test_what_is_not_about_rights_gets_no_role(office: Office, administrator: Administrator):
    """Whoever may write roles may not give away what they do not have; no role of ours would change that."""
    path = f"{RBAC}/namespaces/default/roles"
    asker = Asker(office.world, office.bearer(office.developer))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "more"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    }
    ask = Ask("POST", path, {"Content-Type": "application/json"}, json.dumps(role))
    documents = advised(asker.ask(ask)[1])
    for document in documents:
        administrator.create(document)
    try:
        until_said(asker, ask, "is attempting to grant RBAC permissions not currently held")
        told = asker.ask(ask)[1]
        assert "acting as  gitlab:user:dora" in told
        assert "apiVersion" not in told
    finally:
        asker.close()
        for document in documents:
            administrator.delete(document)


def test_an_agent_that_may_not_impersonate_is_helped_by_the_advice(
    office: Office, administrator: Administrator
):
    """The same agent from a second agentk, whose service account has no rights at all."""
    world = office.world
    office.agentk.stop()
    poor = Program(
        "agentk-poor",
        [
            argument
            if not argument.startswith("--kubeconfig=")
            else f"--kubeconfig={world.cluster.kubeconfig_for('system:serviceaccount:default:agentk')}"
            for argument in office.agentk.argv
        ],
        world.directory,
        world.environment,
    )
    poor.start()
    asker = Asker(world, office.bearer(office.developer))
    ask = Ask("GET", "/api/v1/namespaces/default/pods")
    documents: list[dict[str, Any]] = []
    try:
        until_said(asker, ask, "impersonate")
        told = asker.ask(ask)[1]
        assert "The agent may not act as you: its own identity, system:serviceaccount:default:agentk" in told
        documents = advised(told)
        for document in documents:
            administrator.create(document)
        until_said(asker, ask, 'User "gitlab:user:dora" cannot list')
        assert len(documents[0]["rules"]) == 2
        for key, changed in with_one_entry_less(*documents):
            administrator.replace(changed)
            until_said(asker, ask, "impersonate")
            administrator.replace(next(d for d in documents if d["kind"] == changed["kind"]))
            until_said(asker, ask, 'User "gitlab:user:dora" cannot list')
            assert key in {"apiGroups", "resources", "verbs", "subjects"}
    finally:
        asker.close()
        for document in documents:
            administrator.delete(document)
        poor.kill()
        office.agentk.start()
        until_allowed(office, office.developer)
