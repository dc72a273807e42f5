"""helm with a real chart: a Deployment, a ConfigMap, a Service, a Job as hook; everything waited for."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.e2e.conformance.behaviour import Seen, behaviour, said
from tests.e2e.conformance.side import Side

CHART = str(Path(__file__).with_name("chart"))
_DURATION = re.compile(r"\d+(?:\.\d+)?m?s\b")
_DATE = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} +\d+ [\d:.]+ \S*? ?\d{4}")


def helm(side: Side, *arguments: str) -> Seen:
    """Its words and exit code."""
    done = side.run("helm", ["--namespace", side.namespace, *arguments])
    texts = [
        _DURATION.sub("<duration>", _DATE.sub("<date>", said(text, side))) for text in (done.out, done.err)
    ]
    return done.code, *texts


def _sorted(told: Seen) -> Seen:
    """helm tells the resources of a release in the order of a Go map."""
    return told[0], sorted(told[1].splitlines()), told[2]


def _state(side: Side) -> Seen:
    """What of the release is in the cluster."""
    data = json.loads(side.get(side.within("configmaps", "r-settings")).body)["data"]
    web = json.loads(side.get(side.within("deployments", "r-web", group="apps/v1")).body)
    return data, web["spec"]["replicas"], web["status"].get("readyReplicas", 0)


@behaviour("helm install --wait, upgrade --wait, rollback --wait, uninstall --wait", slow=True, grpc=True)
def _life(side: Side) -> Seen:
    told = [
        helm(side, "install", "r", CHART, "--wait", "--timeout=50s", "--set", "greeting=one"),
        _state(side),
    ]
    upgrade = ["upgrade", "r", CHART, "--wait", "--timeout=50s", "--set", "greeting=two,replicas=2"]
    told += [helm(side, *upgrade), _state(side)]
    told += [helm(side, "rollback", "r", "1", "--wait", "--timeout=50s"), _state(side)]
    told += [
        helm(side, "history", "r", "-o", "yaml"),
        _sorted(helm(side, "status", "r")),
        helm(side, "get", "values", "r"),
    ]
    told += [helm(side, "uninstall", "r", "--wait", "--timeout=50s"), helm(side, "list", "-a")]
    return [*told, side.get(side.within("configmaps", "r-settings")).status]


@behaviour("helm install twice is refused, upgrade --install is not", slow=True)
def _twice(side: Side) -> Seen:
    quick = ["r", CHART, "--no-hooks", "--set", "replicas=0"]
    return [
        helm(side, "install", *quick),
        helm(side, "install", *quick),
        helm(side, "upgrade", "--install", *quick),
        helm(side, "get", "manifest", "r"),
    ]


@behaviour("helm install of what the API server refuses")
def _refused(side: Side) -> Seen:
    return helm(side, "install", "r", CHART, "--no-hooks", "--set", "replicas=-1")


@behaviour("helm install --dry-run=server")
def _dry(side: Side) -> Seen:
    return helm(side, "install", "r", CHART, "--dry-run=server"), helm(side, "list", "-a", "-q")


@behaviour("helm template looks at the cluster")
def _lookup(side: Side) -> Seen:
    return helm(side, "template", "r", CHART, "--dry-run=server", "--set", "lookup=true")


@behaviour("helm install --rollback-on-failure takes back what never gets ready", slow=True)
def _rollback(side: Side) -> Seen:
    failed = helm(
        side,
        "install",
        "r",
        CHART,
        "--no-hooks",
        "--rollback-on-failure",
        "--timeout=3s",
        "--set",
        "selector=none",
    )
    return failed[0], helm(side, "list", "-a", "-q"), side.get(side.within("configmaps", "r-settings")).status


@behaviour("helm lists the releases of all namespaces")
def _list(side: Side) -> Seen:
    helm(side, "install", "r", CHART, "--no-hooks", "--set", "replicas=0")
    done = side.run("helm", ["list", "-A", "-o", "json"])
    mine = [one for one in json.loads(done.out) if one["namespace"] == side.namespace]
    return [(one["name"], one["revision"], one["status"], one["chart"]) for one in mine]
