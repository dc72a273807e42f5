"""What controllers and the API server's own machinery do: subresources, custom resources, owners, reviews."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.e2e.conformance.behaviour import CBOR, Seen, behaviour, headers, plain, seen
from tests.e2e.conformance.raw_http import Answer
from tests.e2e.conformance.reading import TABLE, YAML
from tests.e2e.conformance.side import Side
from tests.e2e.conformance.writing import config_map, deployment

_PATIENCE_S = 40.0


def until(look: Callable[[], Answer], good: Callable[[Answer], bool]) -> Answer:
    """Looks until the controllers have done it."""
    deadline = time.monotonic() + _PATIENCE_S
    while not good(answer := look()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)  # noqa: TID251 - controllers tell nobody
    return answer


def gone(answer: Answer) -> bool:
    return answer.status == 404


def explained(direct: Seen, through: Seen) -> bool:
    """Our explanation follows the API server's own sentence, and nothing else differs."""
    same = all(direct[key] == through[key] for key in direct if key not in {"body", "framing"})
    said, more = json.loads(direct["body"]), json.loads(through["body"])
    words, longer = said.pop("message"), more.pop("message")
    return same and said == more and longer.startswith(f"{words}\n\n")


@behaviour("scale: read, update, patch", grpc=True)
def _scale(side: Side) -> Seen:
    path = side.within("deployments", group="apps/v1")
    made = deployment()
    made["spec"] = made["spec"] | {"paused": True}
    side.make(path, made)
    had = json.loads(side.get(path + "/web/scale").body)
    had["spec"]["replicas"] = 0
    return [
        seen(side.get(path + "/web/scale"), side)["body"].replace(b'"resourceVersion":"<version>"', b""),
        side.put(path + "/web/scale", had | {"metadata": {"name": "web"}}).status,
        json.loads(side.patch(path + "/web/scale", {"spec": {"replicas": 0}}).body)["spec"],
        seen(side.patch(path + "/web/scale", {"spec": {"replicas": -1}}), side),
    ]


@behaviour("status: a write to it leaves the rest, and the other way round", grpc=True)
def _status(side: Side) -> Seen:
    path = side.within("persistentvolumeclaims")
    claim = {
        "metadata": {"name": "c"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "none",
        },
    }
    side.make(path, claim)
    changed = {"metadata": {"labels": {"a": "b"}}, "status": {"capacity": {"storage": "5Gi"}}}
    through_status = json.loads(side.patch(path + "/c/status", changed).body)
    through_object = json.loads(side.patch(path + "/c", {"status": {"capacity": {"storage": "9Gi"}}}).body)
    return [
        (one["metadata"].get("labels"), one["status"].get("capacity"))
        for one in (through_status, through_object)
    ]


def _definition(side: Side) -> dict[str, Any]:
    """A kind of its own for each side, with two versions and no conversion."""
    kind = side.cluster_wide.replace("-", "")
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"size": {"type": "integer", "maximum": 9}, "replicas": {"type": "integer"}},
            },
            "status": {
                "type": "object",
                "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}},
            },
        },
    }
    common = {
        "served": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    }
    old = {
        "name": "v1beta1",
        "storage": False,
        "deprecated": True,
        "deprecationWarning": "old, take v1",
    } | common
    names = {"plural": f"{kind}s", "singular": kind, "kind": kind.title(), "shortNames": [f"c{kind[-4:]}"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind}s.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "conversion": {"strategy": "None"},
            "versions": [{"name": "v1", "storage": True} | common, old],
        },
    }


class _Custom:
    """A served custom resource."""

    DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    def __init__(self, side: Side) -> None:
        self.side = side
        definition = _definition(side)
        self.plural = definition["spec"]["names"]["plural"]
        self.kind = definition["spec"]["names"]["kind"]
        self.name = definition["metadata"]["name"]
        side.make(self.DEFINITIONS, definition)
        until(lambda: side.get(self.path()), lambda answer: answer.status == 200)

    def path(self, version: str = "v1") -> str:
        return self.side.within(self.plural, group=f"example.com/{version}")

    def object(self, **spec: Any) -> dict[str, Any]:
        return {"apiVersion": "example.com/v1", "kind": self.kind, "metadata": {"name": "o"}, "spec": spec}

    def plain(self, answer: Answer) -> Any:
        found = json.dumps(seen(answer, self.side), default=lambda b: b.decode())
        for name in (self.plural, self.kind, self.kind.lower()):
            found = found.replace(name, "<kind>")
        return json.loads(found)


@behaviour("custom resource: made, read in both versions, changed, deleted", slow=True, grpc=True)
def _custom(side: Side) -> Seen:
    custom = _Custom(side)
    path = custom.path()
    answers = [
        side.post(path, custom.object(size=3)),
        side.get(path + "/o"),
        side.get(custom.path("v1beta1") + "/o"),
        side.get(path + "/o", accept=YAML),
        side.get(path + "/o", accept=TABLE),
        side.patch(path + "/o", {"spec": {"size": 4}}),
        side.patch(path + "/o/status", {"status": {"phase": "good"}}),
        side.get(path + "/o/scale"),
        side.patch(path + "/o?fieldManager=me&force=true", custom.object(size=5), "apply-patch+yaml"),
        side.patch(path + "/o", {"spec": {"size": 6}}, "strategic-merge-patch+json"),
        side.post(path, custom.object(size=99) | {"metadata": {"name": "big"}}),
        side.post(path + "?fieldValidation=Strict", custom.object(none=1) | {"metadata": {"name": "strict"}}),
        side.delete(path + "/o"),
    ]
    told = [custom.plain(answer) for answer in answers]
    side.delete(f"{custom.DEFINITIONS}/{custom.name}")
    return told


@behaviour("custom resource: in CBOR", slow=True)
def _custom_cbor(side: Side) -> Seen:
    custom = _Custom(side)
    side.make(custom.path(), custom.object(size=3))
    told = custom.plain(side.get(custom.path() + "/o", accept=CBOR))
    side.delete(f"{custom.DEFINITIONS}/{custom.name}")
    return told


@behaviour("custom resource: gone from discovery with its definition", slow=True)
def _custom_gone(side: Side) -> Seen:
    custom = _Custom(side)
    deleted = side.delete(f"{custom.DEFINITIONS}/{custom.name}")
    return deleted.status, until(lambda: side.get(custom.path()), gone).status


@behaviour("custom resource: a definition that is none lists its faults")
def _bad_definition(side: Side) -> Seen:
    bad = {
        "metadata": {"name": "x"},
        "spec": {"group": "example.com", "scope": "None", "names": {}, "versions": []},
    }
    return seen(side.post(_Custom.DEFINITIONS, bad), side)


@behaviour("finalizer: deletion waits for it", grpc=True)
def _finalizer(side: Side) -> Seen:
    path = side.within("configmaps")
    body = config_map(a="1")
    body["metadata"]["finalizers"] = ["example.com/wait"]
    side.make(path, body)
    deleted = side.delete(path + "/m")
    waiting = json.loads(side.get(path + "/m").body)["metadata"]
    freed = side.patch(path + "/m", {"metadata": {"finalizers": None}})
    return (
        seen(deleted, side),
        "deletionTimestamp" in waiting,
        seen(freed, side),
        side.get(path + "/m").status,
    )


@behaviour("owner: what it owns goes with it", slow=True, grpc=True)
def _owner(side: Side) -> Seen:
    path = side.within("configmaps")
    owner = side.make(path, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    side.make(path, {"metadata": {"name": "owned", "ownerReferences": [reference]}})
    side.delete(path + "/owner")
    return until(lambda: side.get(path + "/owned"), gone).status


@behaviour("owner: deleted in the foreground it goes last", slow=True)
def _foreground(side: Side) -> Seen:
    path = side.within("configmaps")
    owner = side.make(path, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    side.make(
        path, {"metadata": {"name": "owned", "ownerReferences": [reference | {"blockOwnerDeletion": True}]}}
    )
    deleted = side.delete(path + "/owner?propagationPolicy=Foreground")
    until(lambda: side.get(path + "/owner"), gone)
    return (
        deleted.status,
        json.loads(deleted.body)["metadata"]["finalizers"],
        side.get(path + "/owned").status,
    )


@behaviour("owner: orphaned on request", slow=True)
def _orphan(side: Side) -> Seen:
    path = side.within("configmaps")
    owner = side.make(path, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    side.make(path, {"metadata": {"name": "owned", "ownerReferences": [reference]}})
    side.delete(path + "/owner?propagationPolicy=Orphan")
    until(lambda: side.get(path + "/owner"), gone)
    return json.loads(side.get(path + "/owned").body)["metadata"].get("ownerReferences")


@behaviour("namespace: deleted with all it holds", slow=True, grpc=True)
def _namespace(side: Side) -> Seen:
    inside = side.within("configmaps")
    side.make(inside, config_map(a="1"))
    deleted = side.delete(f"/api/v1/namespaces/{side.namespace}")
    until(lambda: side.get(f"/api/v1/namespaces/{side.namespace}"), gone)
    return deleted.status, json.loads(deleted.body)["status"], side.get(inside + "/m").status


@behaviour("namespace: nothing new while it ends", difference="forbidden", stated=explained)
def _ending_namespace(side: Side) -> Seen:
    body = config_map(a="1")
    body["metadata"]["finalizers"] = ["example.com/wait"]
    side.make(side.within("configmaps"), body)
    side.delete(f"/api/v1/namespaces/{side.namespace}")
    refused = seen(side.post(side.within("configmaps"), config_map("late")), side)
    side.patch(side.within("configmaps", "m"), {"metadata": {"finalizers": None}})
    return refused


def _review(side: Side, path: str, kind: str, spec: dict[str, Any]) -> Answer:
    group = path.rpartition("/")[0].removeprefix("/apis/")
    return side.post(path, {"apiVersion": group, "kind": kind, "spec": spec})


AUTHENTICATION = "/apis/authentication.k8s.io/v1"
AUTHORIZATION = "/apis/authorization.k8s.io/v1"


@behaviour("review: who am I", grpc=True)
def _who(side: Side) -> Seen:
    return seen(_review(side, f"{AUTHENTICATION}/selfsubjectreviews", "SelfSubjectReview", {}), side)


@behaviour("review: who am I, as the agent", who="agent")
def _who_agent(side: Side) -> Seen:
    return seen(_review(side, f"{AUTHENTICATION}/selfsubjectreviews", "SelfSubjectReview", {}), side)


@behaviour("review: a token that is good, and one that is not", grpc=True)
def _token(side: Side) -> Seen:
    account = side.within("serviceaccounts")
    side.make(account, {"metadata": {"name": "robot"}})
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 600},
    }
    token = side.make(account + "/robot/token", request)["status"]["token"]
    path = f"{AUTHENTICATION}/tokenreviews"
    good = json.loads(_review(side, path, "TokenReview", {"token": token}).body)["status"]
    return (
        good["authenticated"],
        plain(good["user"]["username"].encode(), side),
        seen(_review(side, path, "TokenReview", {"token": "none"}), side),
    )


def _may_i(side: Side, *asked: tuple[str, str]) -> Seen:
    path = f"{AUTHORIZATION}/selfsubjectaccessreviews"
    answers = []
    for verb, resource in asked:
        spec = {"resourceAttributes": {"verb": verb, "resource": resource}}
        answers.append(seen(_review(side, path, "SelfSubjectAccessReview", spec), side))
    return answers


@behaviour("review: what may I", grpc=True)
def _access(side: Side) -> Seen:
    return _may_i(side, ("get", "pods"), ("delete", "nodes"), ("bind", "clusterroles"))


@behaviour("review: what may I, who may little", who="rob")
def _access_little(side: Side) -> Seen:
    return _may_i(side, ("get", "configmaps"), ("delete", "configmaps"), ("get", "secrets"))


@behaviour("review: all my rules", who="rob")
def _rules(side: Side) -> Seen:
    path = f"{AUTHORIZATION}/selfsubjectrulesreviews"
    status = json.loads(_review(side, path, "SelfSubjectRulesReview", {"namespace": "default"}).body)[
        "status"
    ]
    return sorted(json.dumps(rule, sort_keys=True) for rule in status["resourceRules"])


@behaviour("review: what may somebody else")
def _subject_access(side: Side) -> Seen:
    spec = {
        "user": "nobody",
        "groups": ["system:masters"],
        "resourceAttributes": {"verb": "get", "resource": "pods"},
    }
    return seen(_review(side, f"{AUTHORIZATION}/subjectaccessreviews", "SubjectAccessReview", spec), side)


@behaviour("event: written to the old group, read from the new", grpc=True)
def _event(side: Side) -> Seen:
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "ConfigMap", "name": "m", "namespace": side.namespace},
        "reason": "Tried",
        "message": "it was tried",
        "type": "Normal",
        "firstTimestamp": "2026-01-01T00:00:00Z",
    }
    side.make(side.within("events"), event)
    return seen(side.get(side.within("events", "e", group="events.k8s.io/v1")), side)


@behaviour("quota: too much is a 403 of the API server")
def _quota(side: Side) -> Seen:
    side.make(
        side.within("resourcequotas"), {"metadata": {"name": "q"}, "spec": {"hard": {"count/secrets": "0"}}}
    )

    def try_it() -> Answer:
        return side.post(side.within("secrets"), {"metadata": {"generateName": "s-"}})

    answer = until(try_it, lambda answer: answer.status == 403)
    return answer.status, headers(answer), "exceeded quota: q" in json.loads(answer.body)["message"]


@behaviour("admission: a policy that denies says so", slow=True)
def _policy(side: Side) -> Seen:
    name = f"{side.cluster_wide}.example.com"
    root = "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": side.namespace}}
    side.make(
        f"{root}/validatingadmissionpolicies",
        {
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"namespaceSelector": here, "resourceRules": [rule]},
                "validations": [{"expression": "false", "message": "never here"}],
            },
        },
    )
    side.make(
        f"{root}/validatingadmissionpolicybindings",
        {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny", "Audit"]}},
    )

    def try_it() -> Answer:
        return side.post(side.within("secrets") + "?dryRun=All", {"metadata": {"name": "s"}})

    answer = until(try_it, lambda answer: answer.status != 201)
    told = seen(answer, side)
    told["body"] = told["body"].replace(side.cluster_wide.encode(), b"<name>")
    for collection in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        side.delete(f"{root}/{collection}/{name}")
    return told


@behaviour("eviction: a budget that allows none is a 429")
def _eviction(side: Side) -> Seen:
    pod = {
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {"nodeName": "none", "containers": [{"name": "c", "image": "i"}]},
    }
    side.make(side.within("pods"), pod)
    budget = {
        "metadata": {"name": "b"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"a": "b"}}},
    }
    path = side.within("poddisruptionbudgets", group="policy/v1")
    side.make(path, budget)
    until(lambda: side.get(path + "/b"), lambda answer: b'"observedGeneration"' in answer.body)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    side.patch(
        side.within("pods", "p") + "/status",
        {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}},
    )
    answer = side.post(side.within("pods", "p") + "/eviction", eviction)
    return answer.status, headers(answer), json.loads(answer.body)["reason"]


@behaviour("binding: a pod is bound to a node once")
def _binding(side: Side) -> Seen:
    pod = {
        "metadata": {"name": "p"},
        "spec": {"schedulerName": "me", "containers": [{"name": "c", "image": "i"}]},
    }
    side.make(side.within("pods"), pod)
    target = {"apiVersion": "v1", "kind": "Node", "name": "kwok-node"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": target}
    path = side.within("pods", "p") + "/binding"
    return [seen(side.post(path, binding), side) for _ in range(2)]


# -- who acts --------------------------------------------------------------------------------------------------------


@behaviour("as: an impersonated user, by the agent", who="agent")
def _as(side: Side) -> Seen:
    named = [
        ("Impersonate-User", "jane"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Extra-Reason", "a test"),
    ]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    return seen(side.post(f"{AUTHENTICATION}/selfsubjectreviews", review, headers=named), side)


@behaviour("as: a service account, by the agent", who="agent")
def _as_account(side: Side) -> Seen:
    named = [("Impersonate-User", "system:serviceaccount:default:default")]
    answers = [side.get(path, headers=named) for path in ("/api/v1/namespaces", "/apis", "/version")]
    return [(answer.status, headers(answer)) for answer in answers]


@behaviour("as: groups without a user, by the agent", who="agent")
def _as_nobody(side: Side) -> Seen:
    return side.get("/version", headers=[("Impersonate-Group", "dev")]).status


@behaviour("allowed: what a role allows", who="rob", grpc=True)
def _allowed(side: Side) -> Seen:
    return seen(side.get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt"), side)


def _forbidden(name: str, method: str, path: str, body: dict[str, Any] | None = None) -> None:
    def do(side: Side) -> Seen:
        return seen(side.request(method, path, body), side)

    behaviour(f"forbidden: {name}", who="rob", difference="forbidden", stated=explained)(do)


_forbidden("a kind", "GET", "/api/v1/namespaces/default/secrets")
_forbidden("a verb", "DELETE", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt")
_forbidden("a path that is no resource", "GET", "/metrics")
_forbidden("a write", "POST", "/api/v1/namespaces/default/configmaps", config_map("no"))
_forbidden("a subresource", "GET", "/api/v1/namespaces/default/pods/p/log")
