"""Writes: create, update, the four patches, delete, their dry runs, and everything that is refused."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.conformance import cbor
from tests.e2e.conformance.behaviour import ALL, CBOR, Behaviour, Seen, behaviour, headers, plain, seen
from tests.e2e.conformance.reading import METADATA, PROTOBUF, TABLE, YAML
from tests.e2e.conformance.side import Side

MIB = 1 << 20


def config_map(name: str = "m", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _made(side: Side, **data: str) -> str:
    side.make(side.within("configmaps"), config_map(**(data or {"a": "1"})))
    return side.within("configmaps", "m")


@behaviour("create", grpc=True)
def _create(side: Side) -> Seen:
    return seen(side.post(side.within("configmaps"), config_map(a="1")), side)


@behaviour("create: from YAML, answered in YAML", grpc=True)
def _create_yaml(side: Side) -> Seen:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  text: |\n    two\n    lines\n"
    return seen(side.post(side.within("configmaps"), text, content_type=YAML, accept=YAML), side)


@behaviour("create: answered as protobuf")
def _create_for_protobuf(side: Side) -> Seen:
    answer = side.post(side.within("configmaps") + "?dryRun=All", config_map(a="1"), accept=PROTOBUF)
    return answer.status, headers(answer), len(answer.body), answer.body[:4]


@behaviour("create: answered as a table")
def _create_for_table(side: Side) -> Seen:
    answer = side.post(side.within("configmaps"), config_map(a="1"), accept=TABLE)
    return answer.status, headers(answer), json.loads(answer.body)["rows"][0]["cells"][:2]


@behaviour("create: answered as metadata")
def _create_for_metadata(side: Side) -> Seen:
    return seen(side.post(side.within("configmaps"), config_map(a="1"), accept=METADATA), side)


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of protobuf, below 128 bytes."""
    return bytes([number << 3 | 2, len(data)]) + data


def protobuf_config_map(name: str, key: str, value: str) -> bytes:
    entry = _field(1, key.encode()) + _field(2, value.encode())
    raw = _field(1, _field(1, name.encode())) + _field(2, entry)
    kind = _field(1, b"v1") + _field(2, b"ConfigMap")
    return b"k8s\0" + _field(1, kind) + _field(2, raw)


@behaviour("create: from protobuf", grpc=True)
def _create_protobuf(side: Side) -> Seen:
    body = protobuf_config_map("m", "clé", "välue")
    return seen(side.post(side.within("configmaps"), body, content_type=PROTOBUF), side)


@behaviour("create: from protobuf that is none")
def _create_bad_protobuf(side: Side) -> Seen:
    return seen(side.post(side.within("configmaps"), b"k8s\0\xff\xff\xff", content_type=PROTOBUF), side)


@behaviour("create: from CBOR, answered in CBOR", grpc=True)
def _create_cbor(side: Side) -> Seen:
    body = cbor.SELF_DESCRIBED + cbor.encode(config_map(a="1"))
    answer = side.post(side.within("configmaps") + "?dryRun=All", body, content_type=CBOR, accept=CBOR)
    return seen(answer, side)


@behaviour("patch: apply from CBOR")
def _apply_cbor(side: Side) -> Seen:
    body = cbor.SELF_DESCRIBED + cbor.encode(config_map(a="1"))
    path = side.within("configmaps", "m") + "?fieldManager=cbor"
    return seen(side.patch(path, body, "apply-patch+cbor"), side)


@behaviour("create: with unicode in values and keys of annotations' values")
def _create_unicode(side: Side) -> Seen:
    body = config_map(text="ünïcödé 🐦 \u2028 \ufeff", quote='"\\/')
    body["metadata"]["annotations"] = {"a": "漢字"}
    return seen(side.post(side.within("configmaps"), body), side)


@behaviour("create: binary data")
def _create_binary(side: Side) -> Seen:
    body = config_map() | {"binaryData": {"b": base64.b64encode(bytes(range(256))).decode()}}
    return seen(side.post(side.within("configmaps"), body), side)


@behaviour("create: generated name")
def _generate_name(side: Side) -> Seen:
    answer = side.post(side.within("configmaps"), {"metadata": {"generateName": "made-"}})
    return answer.status, json.loads(answer.body)["metadata"]["name"][:5]


@behaviour("create: dry run leaves nothing", grpc=True)
def _create_dry(side: Side) -> Seen:
    answer = side.post(side.within("configmaps") + "?dryRun=All", config_map(a="1"))
    return seen(answer, side), side.get(side.within("configmaps", "m")).status


@behaviour("create: strict fields")
def _strict(side: Side) -> Seen:
    body = json.dumps(config_map(a="1"))[:-1] + ', "unknown": 1, "data": {"b": "2"}}'
    return [
        seen(side.post(side.within("configmaps") + f"?dryRun=All&fieldValidation={how}", body), side)
        for how in ("Strict", "Warn", "Ignore", "Other")
    ]


@behaviour("create: in a namespace that is not")
def _create_nowhere(side: Side) -> Seen:
    return seen(side.post("/api/v1/namespaces/none/configmaps", config_map()), side)


# name: what is sent to the collection of ConfigMaps, and the type it is said to be
REFUSED: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "application/json"),
    "an empty body": ("", "application/json"),
    "a list instead of an object": ("[]", "application/json"),
    "another kind": ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "m"}}, "application/json"),
    "an unknown kind": ({"apiVersion": "v1", "kind": "None", "metadata": {"name": "m"}}, "application/json"),
    "another version": (
        {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "m"}},
        "application/json",
    ),
    "no name": (config_map(""), "application/json"),
    "a name that is none": (config_map("Not A Name"), "application/json"),
    "a name in unicode": (config_map("übergröße"), "application/json"),
    "a key that is none": (config_map(**{"a/b": "1"}), "application/json"),
    "a number where text belongs": ('{"metadata":{"name":"m"},"data":{"a":1}}', "application/json"),
    "another namespace in the body": (
        {"metadata": {"name": "m", "namespace": "default"}, "data": {}},
        "application/json",
    ),
    "a type nobody speaks": ("a,b", "text/csv"),
    "a type that is none": ("a", "nonsense"),
    "a resourceVersion": ({"metadata": {"name": "m", "resourceVersion": "5"}}, "application/json"),
    "JSON of a hundred levels": (
        '{"metadata":{"name":"m"},"data":' + "[" * 100 + "]" * 100 + "}",
        "application/json",
    ),
    "bytes that are not UTF-8": (b'{"metadata":{"name":"m"},"data":{"a":"\xff\xfe"}}', "application/json"),
    "broken YAML": ("a: [", YAML),
}


def _enter_refused() -> None:
    for name, (body, content_type) in REFUSED.items():

        def do(side: Side, body: Any = body, content_type: str = content_type) -> Seen:
            return seen(side.post(side.within("configmaps"), body, content_type=content_type), side)

        ALL.append(
            Behaviour(name=f"create refused: {name}", do=do, grpc=name in {"no JSON", "a name that is none"})
        )


_enter_refused()


@behaviour("create refused: a second of the same name", grpc=True)
def _create_twice(side: Side) -> Seen:
    _made(side)
    return seen(side.post(side.within("configmaps"), config_map(b="2")), side)


@behaviour("create refused: an invalid pod lists its faults")
def _invalid_pod(side: Side) -> Seen:
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "A", "image": ""}], "restartPolicy": "X"},
    }
    return seen(side.post(side.within("pods"), pod), side)


@behaviour("create: 900 KiB in one object", grpc=True)
def _create_large(side: Side) -> Seen:
    answer = side.post(side.within("configmaps"), config_map(large="x" * 900 * 1024))
    return seen(answer, side), side.get(side.within("configmaps", "m")).unpacked.count(b"x")


@behaviour("create: 1 MiB of data that is 2 MiB of JSON", grpc=True)
def _create_mebibyte(side: Side) -> Seen:
    answer = side.post(side.within("configmaps"), config_map(large="\n" * (MIB - 100)))
    again = side.put(side.within("configmaps", "m"), json.loads(answer.body))
    return seen(answer, side), seen(again, side)


@behaviour("create: 2.5 MiB are too large for etcd")
def _create_too_large_for_etcd(side: Side) -> Seen:
    body = {"metadata": {"name": "m", "annotations": {}}, "data": {"large": "x" * (5 * MIB // 2)}}
    return seen(side.post(side.within("configmaps"), body), side)


@behaviour("create: more than 3 MiB is a 413 of the API server", grpc=True)
def _create_413(side: Side) -> Seen:
    with side.open() as connection:
        body = json.dumps(config_map(large="x" * 3 * MIB)).encode()
        sent = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        connection.send(side.head("POST", side.within("configmaps"), sent) + body)
        answer = connection.answer()
    return answer.status, json.loads(answer.body)


def _too_large_for_kas(direct: Seen, through: Seen) -> bool:
    return (
        (direct[0], through[0]) == (413, 413)
        and "over 10485760 bytes" in through[1]
        and "3145728" in direct[1]
    )


@behaviour("create: more than 10 MiB", difference="too-large", stated=_too_large_for_kas)
def _create_12_mib(side: Side) -> Seen:
    with side.open() as connection:
        sent = [("Content-Type", "application/json"), ("Content-Length", str(12 * MIB))]
        connection.send(side.head("POST", side.within("configmaps"), sent) + b"x" * 65536)
        with_body = b"x" * (12 * MIB - 65536)
        with contextlib.suppress(OSError):  # whoever refuses need not read on
            connection.send(with_body)
        answer = connection.answer()
    return answer.status, json.loads(answer.body)["message"]


@behaviour("create: a gzip body is not unpacked")
def _gzip_body(side: Side) -> Seen:
    body = gzip.compress(json.dumps(config_map(a="1")).encode(), mtime=0)
    answer = side.post(side.within("configmaps"), body, headers=[("Content-Encoding", "gzip")])
    return seen(answer, side)


# -- update ----------------------------------------------------------------------------------------------------------


@behaviour("update", grpc=True)
def _update(side: Side) -> Seen:
    return seen(side.put(_made(side), config_map(b="2")), side)


@behaviour("update: with the version it had, then with it again is a 409", grpc=True)
def _update_conflict(side: Side) -> Seen:
    path = _made(side)
    had = json.loads(side.get(path).body)
    first = side.put(path, had | {"data": {"a": "2"}})
    return seen(first, side), seen(side.put(path, had | {"data": {"a": "3"}}), side)


@behaviour("update: of another uid is a 409")
def _update_other_uid(side: Side) -> Seen:
    body = config_map(a="2")
    body["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000"
    return seen(side.put(_made(side), body), side)


@behaviour("update: of another name than the path's")
def _update_other_name(side: Side) -> Seen:
    return seen(side.put(_made(side), config_map("other")), side)


@behaviour("update: of what is not there")
def _update_missing(side: Side) -> Seen:
    return seen(side.put(side.within("configmaps", "none"), config_map("none")), side)


@behaviour("update: of the same value changes nothing")
def _update_same(side: Side) -> Seen:
    path = _made(side)
    had = json.loads(side.get(path).body)
    now = json.loads(side.put(path, had).body)
    return had["metadata"]["resourceVersion"] == now["metadata"]["resourceVersion"]


@behaviour("update: dry run")
def _update_dry(side: Side) -> Seen:
    path = _made(side)
    return seen(side.put(path + "?dryRun=All", config_map(b="2")), side), seen(side.get(path), side)


@behaviour("update: of an immutable object")
def _immutable(side: Side) -> Seen:
    side.make(side.within("configmaps"), config_map(a="1") | {"immutable": True})
    return seen(side.put(side.within("configmaps", "m"), config_map(a="2") | {"immutable": True}), side)


@behaviour("update: of a collection is a 405")
def _update_collection(side: Side) -> Seen:
    return seen(side.put(side.within("configmaps"), config_map()), side)


@behaviour("update: eight writers of one version, one wins")
def _race(side: Side) -> Seen:
    path = _made(side)
    had = json.loads(side.get(path).body)

    def write(number: int) -> int:
        return side.put(path, had | {"data": {"writer": str(number)}}).status

    with ThreadPoolExecutor(8) as pool:
        return sorted(pool.map(write, range(8)))


LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "leader"}}


@behaviour("lease: one of two candidates gets it", grpc=True)
def _lease(side: Side) -> Seen:
    path = side.within("leases", group="coordination.k8s.io/v1")
    had = side.make(path, LEASE | {"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}})
    taken = [
        side.put(path + "/leader", had | {"spec": {"holderIdentity": who, "leaseDurationSeconds": 15}})
        for who in ("b", "c")
    ]
    return [seen(answer, side) for answer in taken]


# -- patch -----------------------------------------------------------------------------------------------------------


@behaviour("patch: merge", grpc=True)
def _merge(side: Side) -> Seen:
    return seen(side.patch(_made(side, a="1", b="2"), {"data": {"a": None, "c": "3"}}), side)


@behaviour("patch: JSON patch", grpc=True)
def _json_patch(side: Side) -> Seen:
    steps = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "2"},
        {"op": "copy", "from": "/data/a", "path": "/data/c"},
    ]
    return seen(side.patch(_made(side), json.dumps(steps), "json-patch+json"), side)


@behaviour("patch: JSON patch whose test fails is a 422")
def _json_patch_test(side: Side) -> Seen:
    steps = [{"op": "test", "path": "/data/a", "value": "9"}]
    return seen(side.patch(_made(side), json.dumps(steps), "json-patch+json"), side)


@behaviour("patch: JSON patch that is none")
def _json_patch_bad(side: Side) -> Seen:
    return seen(side.patch(_made(side), '{"op": "jump"}', "json-patch+json"), side)


POD_TEMPLATE = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {
        "containers": [{"name": "one", "image": "localhost/kasbah-sandbox:1", "imagePullPolicy": "Never"}]
    },
}


def deployment(name: str = "web", replicas: int = 0) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": POD_TEMPLATE}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def _deployed(side: Side) -> str:
    path = side.within("deployments", group="apps/v1")
    side.make(path, deployment() | {"spec": deployment()["spec"] | {"paused": True}})
    return path + "/web"


@behaviour("patch: strategic merge by the key of a list", grpc=True)
def _strategic(side: Side) -> Seen:
    containers = [{"name": "two", "image": "b"}, {"name": "one", "env": [{"name": "E", "value": "1"}]}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    answer = side.patch(_deployed(side), patch, "strategic-merge-patch+json")
    return answer.status, headers(answer), json.loads(answer.body)["spec"]["template"]["spec"]["containers"]


@behaviour("patch: strategic merge that deletes")
def _strategic_delete(side: Side) -> Seen:
    patch = {"spec": {"template": {"spec": {"containers": [{"$patch": "delete", "name": "one"}]}}}}
    return seen(side.patch(_deployed(side), patch, "strategic-merge-patch+json"), side)


@behaviour("patch: a type that is none is a 415", grpc=True)
def _patch_type(side: Side) -> Seen:
    return seen(side.patch(_made(side), {}, "none+json"), side)


@behaviour("patch: of what is not there")
def _patch_missing(side: Side) -> Seen:
    return seen(side.patch(side.within("configmaps", "none"), {"data": {}}), side)


@behaviour("patch: dry run")
def _patch_dry(side: Side) -> Seen:
    path = _made(side)
    return seen(side.patch(path + "?dryRun=All", {"data": {"a": "2"}}), side), seen(side.get(path), side)


@behaviour("patch: apply makes the object", grpc=True)
def _apply(side: Side) -> Seen:
    path = side.within("configmaps", "m") + "?fieldManager=first"
    made = side.patch(path, config_map(a="1"), "apply-patch+yaml")
    again = side.patch(path, config_map(a="1"), "apply-patch+yaml")
    return seen(made, side), seen(again, side)


def _applied(side: Side) -> str:
    path = side.within("configmaps", "m")
    side.patch(path + "?fieldManager=first", config_map(a="1", b="1"), "apply-patch+yaml")
    return path + "?fieldManager=second"


@behaviour("patch: apply of another manager's field is a conflict", grpc=True)
def _apply_conflict(side: Side) -> Seen:
    return seen(side.patch(_applied(side), config_map(a="2"), "apply-patch+yaml"), side)


@behaviour("patch: apply by force takes the field over", grpc=True)
def _apply_force(side: Side) -> Seen:
    return seen(side.patch(_applied(side) + "&force=true", config_map(a="2"), "apply-patch+yaml"), side)


@behaviour("patch: apply with less gives the field up")
def _apply_less(side: Side) -> Seen:
    path = _applied(side).replace("second", "first")
    return seen(side.patch(path, config_map(a="1"), "apply-patch+yaml"), side)


@behaviour("patch: apply without a manager")
def _apply_nobody(side: Side) -> Seen:
    return seen(side.patch(side.within("configmaps", "m"), config_map(a="1"), "apply-patch+yaml"), side)


@behaviour("patch: apply in YAML with a comment")
def _apply_yaml(side: Side) -> Seen:
    text = "# mine\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata: {a: '1'}\n"
    return seen(
        side.patch(side.within("configmaps", "m") + "?fieldManager=me", text, "apply-patch+yaml"), side
    )


@behaviour("update: the field manager is remembered")
def _manager(side: Side) -> Seen:
    path = _made(side)
    made = json.loads(side.put(path + "?fieldManager=somebody", config_map(z="1")).body)
    return sorted((one["manager"], one["operation"]) for one in made["metadata"]["managedFields"])


@behaviour("create: without a field manager, the user agent's first word is it")
def _manager_by_agent(side: Side) -> Seen:
    answer = side.post(
        side.within("configmaps"), config_map(a="1"), headers=[("User-Agent", "my tool/1.2 (x)")]
    )
    return [one["manager"] for one in json.loads(answer.body)["metadata"]["managedFields"]]


# -- delete ----------------------------------------------------------------------------------------------------------


@behaviour("delete", grpc=True)
def _delete(side: Side) -> Seen:
    path = _made(side)
    return seen(side.delete(path), side), seen(side.get(path), side)


@behaviour("delete: twice is a 404")
def _delete_twice(side: Side) -> Seen:
    path = _made(side)
    side.delete(path)
    return seen(side.delete(path), side)


@behaviour("delete: dry run")
def _delete_dry(side: Side) -> Seen:
    path = _made(side)
    return seen(side.delete(path + "?dryRun=All"), side), side.get(path).status


@behaviour("delete: with a body of options")
def _delete_options(side: Side) -> Seen:
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
    return seen(side.delete(_made(side), options), side)


@behaviour("delete: of another uid is a 409")
def _delete_precondition(side: Side) -> Seen:
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "another"}}
    return seen(side.delete(_made(side), options), side)


@behaviour("delete: of a version that is over is a 409")
def _delete_version(side: Side) -> Seen:
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": "1"}}
    answer = side.delete(_made(side), options)
    return answer.status, json.loads(answer.body)["reason"]


@behaviour("delete: options that make no sense")
def _delete_bad_options(side: Side) -> Seen:
    return seen(
        side.delete(_made(side), {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "X"}),
        side,
    )


@behaviour("deletecollection: by a label", grpc=True)
def _delete_collection(side: Side) -> Seen:
    path = side.within("configmaps")
    for name, label in (("one", "yes"), ("two", "yes"), ("three", "no")):
        side.make(path, {"metadata": {"name": name, "labels": {"go": label}}})
    answer = side.delete(path + "?labelSelector=go%3Dyes")
    left = json.loads(side.get(path + "?labelSelector=go").body)["items"]
    return seen(answer, side), [item["metadata"]["name"] for item in left]


@behaviour("deletecollection: dry run with a limit")
def _delete_collection_dry(side: Side) -> Seen:
    path = side.within("configmaps")
    for name in ("one", "two"):
        side.make(path, {"metadata": {"name": name, "labels": {"go": "yes"}}})
    return seen(side.delete(path + "?labelSelector=go%3Dyes&dryRun=All"), side)


@behaviour("post to an object is a 405")
def _post_object(side: Side) -> Seen:
    return seen(side.post(_made(side), config_map()), side)


@behaviour("agent: the agent's own rights make, change and delete", who="agent")
def _as_the_agent(side: Side) -> Seen:
    path = side.within("configmaps")
    answers = [
        side.post(path, config_map(a="1")),
        side.patch(path + "/m", {"data": {"a": "2"}}),
        side.patch(path + "/m?fieldManager=me&force=true", config_map(a="3"), "apply-patch+yaml"),
        side.get(path + "/m", accept=METADATA),
        side.delete(path + "/m"),
    ]
    return [seen(answer, side) for answer in answers]


@behaviour("secret: its text is not stored twice")
def _secret(side: Side) -> Seen:
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "geheim"}, "type": "Opaque"}
    return plain(side.post(side.within("secrets"), secret).body, side)
