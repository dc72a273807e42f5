"""What people type: the current kubectl and an older one, each at both sides."""

from __future__ import annotations

import functools
import http.client
import json
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from tests.e2e.conformance.behaviour import ALL, Behaviour, Seen, plain, said
from tests.e2e.conformance.side import Done, Side
from tests.e2e.conformance.writing import config_map, deployment

CURRENT, OLDER = "kubectl", "kubectl-1.31"
Kubectl = Callable[..., Done]


def tell(done: Done, side: Side) -> Seen:
    """What it said and how it ended."""
    return done.code, said(done.out, side), said(done.err, side)


def _enter(name: str, do: Callable[[Side, str], Seen], *, older: bool, **how: Any) -> None:
    for program in (CURRENT, OLDER) if older else (CURRENT,):

        def run(side: Side, program: str = program) -> Seen:
            return do(side, program)

        ALL.append(Behaviour(name=f"{program} {name}", do=run, **how))


def kubectl(side: Side, program: str, *arguments: str, stdin: str = "") -> Done:
    """In the run's namespace."""
    return side.run(program, ["--namespace", side.namespace, *arguments], stdin=stdin)


def _furnish(side: Side) -> None:
    """A ConfigMap, a Service and a Deployment without pods."""
    body = config_map(a="1", b="two\nlines\n")
    body["metadata"]["labels"] = {"app": "x"}
    side.make(side.within("configmaps"), body)
    service = {
        "metadata": {"name": "s", "labels": {"app": "x"}},
        "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}], "clusterIP": "None"},
    }
    side.make(side.within("services"), service)
    side.make(side.within("deployments", group="apps/v1"), deployment())


def _commands(
    name: str, steps: Sequence[Sequence[str]], *, stdin: str = "", older: bool = True, **how: Any
) -> None:
    def do(side: Side, program: str) -> Seen:
        _furnish(side)
        return [tell(kubectl(side, program, *step, stdin=stdin), side) for step in steps]

    _enter(name, do, older=older, **how)


def _words(text: str) -> list[list[str]]:
    return [line.split() for line in text.split(";")]


MAP = json.dumps(config_map(a="2", c="3"))

# name: commands, separated by semicolons; nothing in them has spaces of its own
READS = {
    "get": "get configmap m",
    "get -o yaml": "get configmap m -o yaml",
    "get -o json": "get configmap/m -o json",
    "get -o wide": "get services,deployments -o wide",
    "get -o name": "get configmap m -o name",
    "get -o jsonpath": "get configmap m -o jsonpath={.data.a}",
    "get -o go-template": "get configmap m -o go-template={{.data.b}}",
    "get -o custom-columns": "get configmap m -o custom-columns=N:.metadata.name,A:.data.a",
    "get --show-labels -l": "get configmaps -l app=x --show-labels",
    "get --field-selector": "get configmaps --field-selector metadata.name=m",
    "get --show-managed-fields": "get configmap m -o yaml --show-managed-fields",
    "get --sort-by": "get clusterroles --sort-by=.metadata.name -o name",
    "get --chunk-size": "get clusterroles --chunk-size=7 -o name",
    "get of nothing": "get pods",
    "get of what is not there": "get configmap none",
    "get of an unknown kind": "get nothings",
    "get of nodes": "get nodes -o name",
    "get --raw": "get --raw /version",
    "get --raw of a path that is not": "get --raw /none",
    "describe": "describe configmap m",
    "explain": "explain deployment.spec.strategy",
    "explain --recursive": "explain networkpolicy --recursive",
    "explain of an unknown field": "explain pod.none",
    "api-resources": "api-resources -o wide --sort-by=name --api-group=apps",
    "api-versions": "api-versions",
    "auth can-i": "auth can-i create pods;auth can-i --list",
    "auth whoami": "auth whoami -o yaml",
    "top without a metrics API": "top nodes;top pods",
    "events": "events --types=Warning",
    "cluster-info": "cluster-info",
    "version": "version -o json",
    "rollout history": "rollout history deployment/web",
    "diff of no difference": "diff --server-side=false -f -",
}
WRITES = {
    "create": "create configmap new --from-literal=x=1 -o yaml",
    "create --dry-run=server": "create configmap new --from-literal=x=1 --dry-run=server -o yaml;get configmap new",
    "create of what is there": "create configmap m",
    "create -f": "create -f - --save-config",
    "apply": "apply -f -;get configmap m -o yaml",
    "apply --server-side in conflict": "apply --server-side -f -",
    "apply --server-side --force-conflicts": "apply --server-side --force-conflicts --field-manager=me -f -;get configmap m -o yaml --show-managed-fields",
    "apply --dry-run=server": "apply --dry-run=server -f - -o yaml",
    "diff": "diff -f -",
    "diff --server-side": "diff --server-side --force-conflicts -f -",
    "replace": "replace -f - -o yaml",
    "replace --force": "replace --force -f -",
    "patch --type=merge": 'patch configmap m --type=merge -p {"data":{"a":"9"}} -o yaml',
    "patch --type=json": 'patch configmap m --type=json -p [{"op":"remove","path":"/data/a"}] -o json',
    "patch strategic": 'patch deployment web -p {"spec":{"template":{"metadata":{"labels":{"n":"1"}}}}}',
    "patch that is none": "patch configmap m -p {",
    "label": "label configmap m new=1;label configmap m app=y;label configmap m app=y --overwrite;label configmap m app-",
    "annotate": "annotate configmap m note=1;get configmap m -o jsonpath={.metadata.annotations.note}",
    "scale": "scale deployment web --replicas=0 --current-replicas=5;scale deployment web --replicas=0",
    "autoscale": "autoscale deployment web --min=1 --max=3;get horizontalpodautoscaler web -o jsonpath={.spec.maxReplicas}",
    "expose": "expose deployment web --port=80 --cluster-ip=None -o name",
    "set image": "set image deployment/web one=other:1;get deployment web -o jsonpath={.spec.template.spec.containers[0].image}",
    "set env": "set env deployment/web A=1 --list;set env deployment/web B=2",
    "rollout pause and resume": "rollout pause deployment/web;rollout pause deployment/web;rollout resume deployment/web",
    "delete": "delete configmap m;get configmap m",
    "delete -l": "delete configmaps,services -l app=x",
    "delete --dry-run=server": "delete configmap m --dry-run=server;get configmap m -o name",
    "delete --ignore-not-found": "delete configmap none --ignore-not-found;delete configmap none",
    "delete --cascade=orphan": "delete deployment web --cascade=orphan",
    "wait for a condition that is": "wait deployment/web --for=condition=Available --timeout=20s",
    "wait for a field": "wait deployment/web --for=jsonpath={.spec.replicas}=0 --timeout=5s",
    "wait that times out": "wait deployment/web --for=condition=Never --timeout=1s",
    "wait for what is not there": "wait configmap/none --for=condition=Ready --timeout=1s",
    "rollout status": "wait deployment/web --for=condition=Available;rollout status deployment/web --timeout=20s",
    "create role and binding": "create role r --verb=get --resource=pods;create rolebinding b --role=r --user=u -o yaml",
    "create quota": "create quota q --hard=pods=5",
    "create service and ingress": "create service clusterip c --clusterip=None;create ingress i --rule=h/p=s:80 -o name",
    "drain --dry-run=server": "drain kwok-node --dry-run=server --ignore-daemonsets --pod-selector=none=here",
    "cordon --dry-run=server": "cordon kwok-node --dry-run=server",
    "create token": "create serviceaccount robot;create token none",
    "run": 'run quick --image=i --restart=Never --overrides={"spec":{"schedulerName":"nobody"}} -o name;get pod quick',
    "certificate approve": "certificate approve none",
    "taint of a node that is not": "taint node none a=b:NoSchedule",
    "events of a deprecated kind": "get endpoints",
}
OLDER_TOO = {
    *("get", "get -o yaml", "get --field-selector", "get --chunk-size", "get of what is not there"),
    *("get of an unknown kind", "explain", "api-versions", "auth can-i", "auth whoami"),
    *("top without a metrics API", "version", "diff of no difference", "create", "create --dry-run=server"),
    *(
        "apply",
        "apply --server-side in conflict",
        "apply --server-side --force-conflicts",
        "diff",
        "replace --force",
    ),
    *(
        "patch strategic",
        "label",
        "scale",
        "set image",
        "delete",
        "wait for a condition that is",
        "rollout status",
    ),
    "events of a deprecated kind",
}
SLOW = {"wait that times out", "rollout status", "wait for a condition that is"}


def _enter_all() -> None:
    for name, text in READS.items():
        _commands(
            name,
            _words(text),
            stdin=json.dumps(config_map(a="1", b="two\nlines\n")),
            older=name in OLDER_TOO,
        )
    for name, text in WRITES.items():
        body = json.dumps(config_map("fresh", a="1")) if name == "create -f" else MAP
        _commands(name, _words(text), stdin=body, older=name in OLDER_TOO, slow=name in SLOW)


_enter_all()


def _raw(side: Side, program: str) -> Seen:
    return tell(side.run(program, ["get", "--raw", "/version"]), side)


def _without_the_prefix(direct: Seen, through: Seen) -> bool:
    return direct[0] == 0 and through[0] == 1 and "NotFound" in through[2]


ALL.append(
    Behaviour(
        name=f"{OLDER} get --raw",
        do=functools.partial(_raw, program=OLDER),
        difference="old-raw",
        stated=_without_the_prefix,
    )
)


def _edit(side: Side, program: str) -> Seen:
    _furnish(side)
    arguments = ["--namespace", side.namespace, "edit", "configmap", "m"]
    done = side.run(program, arguments, environment={"KUBE_EDITOR": "sed -i s/two/three/"})
    return tell(done, side), tell(kubectl(side, program, "get", "configmap", "m", "-o", "yaml"), side)


_enter("edit", _edit, older=False)


def _impersonate(side: Side, program: str) -> Seen:
    arguments = [
        "--as=jane",
        "--as-group=dev",
        "--as-group=ops",
        "--as-uid=7",
        "auth",
        "whoami",
        "-o",
        "yaml",
    ]
    refused = side.run(program, ["--as=jane", "get", "--raw", "/api/v1/secrets"])
    return tell(side.run(program, arguments), side), refused.code


_enter("--as, where the agent acts as itself", _impersonate, older=True, who="agent")


def _impersonate_extra(side: Side, program: str) -> Seen:
    extra = ["--as-user-extra=example.com/reason=x", "--as-user-extra=example.com/reason=y"]
    return tell(side.run(program, ["--as=jane", *extra, "auth", "whoami", "-o", "yaml"]), side)


_enter("--as-user-extra, where the agent acts as itself", _impersonate_extra, older=False, who="agent")


def _local_proxy(side: Side, program: str, *flags: str) -> Seen:
    """`kubectl proxy`, and what a browser would get of it."""
    command = [str(side.door.binaries[program]), "proxy", "--port=0", *flags]
    with subprocess.Popen(command, env=side.environment(), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(b":")[2])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            told = []
            for path in ("/version", "/api/v1/namespaces/none", "/api/v1/namespaces/default"):
                connection.request("GET", path)
                answer = connection.getresponse()
                told.append((answer.status, answer.getheader("Content-Type"), plain(answer.read(), side)))
            connection.close()
            return told
        finally:
            process.kill()


def _local_proxy_with_path(side: Side, program: str) -> Seen:
    return _local_proxy(side, program, "--append-server-path")


_enter("proxy --append-server-path", _local_proxy_with_path, older=True)
ALL.append(
    Behaviour(
        name=f"{CURRENT} proxy",
        do=functools.partial(_local_proxy, program=CURRENT),
        difference="local-proxy",
        stated=lambda direct, through: direct[0][0] == 200 and {one[0] for one in through} == {404},
    )
)


def _prune(side: Side, program: str) -> Seen:
    both = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [config_map("keep", a="1"), config_map("drop", a="1")],
    }
    for item in both["items"]:
        item["metadata"]["labels"] = {"set": "mine"}
    one = both | {"items": both["items"][:1]}
    options = ["apply", "--prune", "-l", "set=mine", "--prune-allowlist=core/v1/ConfigMap", "-f", "-"]
    return [tell(kubectl(side, program, *options, stdin=json.dumps(body)), side) for body in (both, one)]


_enter("apply --prune", _prune, older=False)


def _kustomize(side: Side, program: str) -> Seen:
    directory = side.door.home / side.namespace / program
    directory.mkdir(parents=True)
    directory.joinpath("kustomization.yaml").write_text("resources: [map.yaml]\nnameSuffix: -k\n")
    directory.joinpath("map.yaml").write_text(MAP)
    return [
        tell(kubectl(side, program, verb, "-k", str(directory)), side) for verb in ("apply", "get", "delete")
    ]


_enter("apply -k", _kustomize, older=False)


def _discovery(side: Side, program: str) -> Seen:
    """All resources there are, without those that other behaviours define."""
    done = side.run(program, ["api-resources", "--no-headers", "-o", "name", "--cached=false"])
    return done.code, sorted(name for name in done.out.split() if not name.endswith("example.com")), done.err


_enter("api-resources of everything", _discovery, older=True)
