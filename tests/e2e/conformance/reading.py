"""Reads: whatever the request, the answer's head and every byte of its body."""

from __future__ import annotations

import gzip
import json
import struct

from tests.e2e.conformance.behaviour import ALL, CBOR, Behaviour, Seen, behaviour, headers, plain, seen
from tests.e2e.conformance.raw_http import Headers
from tests.e2e.conformance.side import JSON, Side

PROTOBUF = "application/vnd.kubernetes.protobuf"
YAML = "application/yaml"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
DISCOVERY_V2BETA1 = (
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1,application/json"
TABLE_CBOR = "application/cbor;as=Table;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
SPACES = "/api/v1/namespaces/kube-system"

# name: path, Accept, further headers
GETS: dict[str, tuple[str, str, Headers]] = {
    "version": ("/version", JSON, []),
    "version with a slash at its end": ("/version/", JSON, []),
    "root: the list of paths": ("/", JSON, []),
    "legacy group": ("/api", JSON, []),
    "legacy group with a slash at its end": ("/api/", JSON, []),
    "groups": ("/apis", JSON, []),
    "one group": ("/apis/apps", JSON, []),
    "one group's version": ("/apis/apps/v1", JSON, []),
    "core resources": ("/api/v1", JSON, []),
    "aggregated discovery of the core, v2": ("/api", DISCOVERY, []),
    "aggregated discovery of the groups, v2": ("/apis", DISCOVERY, []),
    "aggregated discovery, v2beta1": ("/apis", DISCOVERY_V2BETA1, []),
    "aggregated discovery in protobuf": (
        "/apis",
        f"{PROTOBUF};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        [],
    ),
    "OpenAPI v2 in JSON": ("/openapi/v2", JSON, []),
    "OpenAPI v2 in protobuf": (
        "/openapi/v2",
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
        [],
    ),
    "OpenAPI v2 in a type it has not": ("/openapi/v2", "text/html", []),
    "OpenAPI v3: the index": ("/openapi/v3", JSON, []),
    "OpenAPI v3 of one group": ("/openapi/v3/apis/apps/v1", JSON, []),
    "OpenAPI v3 of one group in protobuf": (
        "/openapi/v3/apis/batch/v1",
        "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
        [],
    ),
    "OpenAPI v3 of a group that is not": ("/openapi/v3/apis/none.example/v1", JSON, []),
    "health with its parts": ("/healthz?verbose", "*/*", []),
    "liveness": ("/livez", "*/*", []),
    "readiness without one check": ("/readyz?exclude=etcd", "*/*", []),
    "one check of health": ("/healthz/ping", "*/*", []),
    "OpenID configuration": ("/.well-known/openid-configuration", JSON, []),
    "keys of service accounts": ("/openid/v1/jwks", JSON, []),
    "an object": (ROLES + "/view", JSON, []),
    "an object, pretty": (ROLES + "/view?pretty=true", JSON, []),
    "an object in YAML": (ROLES + "/view", YAML, []),
    "an object in protobuf": (ROLES + "/view", PROTOBUF, []),
    "an object in CBOR": (ROLES + "/view", CBOR, []),
    "an object in the first type of three": (ROLES + "/view", f"{PROTOBUF}, {JSON}, */*", []),
    "an object in the type of most weight": (ROLES + "/view", f"{JSON};q=0.1, {YAML};q=0.9", []),
    "an object as a table": (ROLES + "/view", TABLE, []),
    "an object as metadata": (ROLES + "/view", METADATA, []),
    "an object with a resourceVersion of the past": (ROLES + "/view?resourceVersion=1", JSON, []),
    "an object that is not there": (ROLES + "/none", JSON, []),
    "a missing object as protobuf": (ROLES + "/none", PROTOBUF, []),
    "a list": (ROLES, JSON, []),
    "a list in protobuf": (ROLES, PROTOBUF, []),
    "a list in CBOR": (ROLES, CBOR, []),
    "a list as a table": (ROLES, TABLE, []),
    "a list as a table in CBOR": (ROLES, TABLE_CBOR, []),
    "a table with whole objects": (ROLES + "?includeObject=Object", TABLE, []),
    "a table without objects": (ROLES + "?includeObject=None", TABLE, []),
    "a list as metadata": (ROLES, METADATA_LIST, []),
    "a list as metadata in protobuf": (
        ROLES,
        f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        [],
    ),
    "a list by labels": (ROLES + "?labelSelector=kubernetes.io%2Fbootstrapping%3Drbac-defaults", JSON, []),
    "a list by labels, with sets": (ROLES + "?labelSelector=a+notin+(b,c),!d", JSON, []),
    "a list by a field": (ROLES + "?fieldSelector=metadata.name%3Dedit", JSON, []),
    "a list by a field it has not": (ROLES + "?fieldSelector=spec.none%3D1", JSON, []),
    "a list by labels that make no sense": (ROLES + "?labelSelector=%3D%3D%3D", JSON, []),
    "a list from the cache": (ROLES + "?resourceVersion=0", JSON, []),
    "a list not older than 1": (ROLES + "?resourceVersion=1&resourceVersionMatch=NotOlderThan", JSON, []),
    "a list of a version of the far future": (ROLES + "?resourceVersion=99999999&timeoutSeconds=1", JSON, []),
    "a list with a match but no version": (ROLES + "?resourceVersionMatch=Exact", JSON, []),
    "a list with a version that is no number": (ROLES + "?resourceVersion=abc", JSON, []),
    "a limit that is no number": (ROLES + "?limit=abc", JSON, []),
    "a continue token that is none": (ROLES + "?limit=5&continue=abc", JSON, []),
    "an unknown parameter": (ROLES + "/view?nothing=here&x=%F0%9F%90%A6", JSON, []),
    "a parameter twice": (ROLES + "?limit=1&limit=2&fieldSelector=metadata.name%3Dview", JSON, []),
    "a group that is not": ("/apis/none.example/v1/things", JSON, []),
    "a version that is not": ("/apis/apps/v9/deployments", JSON, []),
    "a resource that is not": ("/api/v1/nothings", JSON, []),
    "a subresource that is not": (SPACES + "/configmaps/x/nothing", JSON, []),
    "a path that is not": ("/no/such/path", JSON, []),
    "a type nobody speaks": (ROLES + "/view", "text/csv", []),
    "a table of a version that is not": (ROLES, "application/json;as=Table;g=meta.k8s.io;v=v9", []),
    "no Accept at all": (ROLES + "/view", "", []),
    "a browser's Accept": (
        ROLES + "/view",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        [],
    ),
    "a name with percent-encoded dots and letters": ("/api/v1/namespaces/%64efault", JSON, []),
    "a name in unicode": ("/api/v1/namespaces/%C3%BCber", JSON, []),
    "a namespace that is not": ("/api/v1/namespaces/none/configmaps", JSON, []),
    "a deprecated kind warns": ("/api/v1/componentstatuses/scheduler", JSON, []),
    "deprecated endpoints warn": ("/api/v1/namespaces/default/endpoints/kubernetes", JSON, []),
    "events of the old group": (SPACES + "/events?limit=1&fieldSelector=reason%3DNone", JSON, []),
    "events of events.k8s.io": ("/apis/events.k8s.io/v1/namespaces/none/events", JSON, []),
    "metrics API that is absent": ("/apis/metrics.k8s.io/v1beta1/nodes", JSON, []),
    "logs of a pod that is not": (SPACES + "/pods/none/log", JSON, []),
    "flow schemas": ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/exempt", JSON, []),
    "an APIService": ("/apis/apiregistration.k8s.io/v1/apiservices/v1.apps", JSON, []),
    "an answer below the limit asks for no gzip": ("/version", JSON, [("Accept-Encoding", "gzip")]),
    "a big answer in gzip": ("/openapi/v3/api/v1", JSON, [("Accept-Encoding", "gzip")]),
    "a big answer in an encoding nobody has": (ROLES, JSON, [("Accept-Encoding", "br, zstd")]),
    "a part by Range of what has no parts": (ROLES + "/view", JSON, [("Range", "bytes=0-9")]),
    "a long user agent": ("/version", JSON, [("User-Agent", "k9s/" + "x" * 200)]),
    "headers nobody knows": ("/version", JSON, [("X-Nobody", "knows"), ("Cookie", "a=b")]),
}
GRPC = {
    "version",
    "aggregated discovery of the groups, v2",
    "OpenAPI v2 in JSON",
    "OpenAPI v3 of one group",
    "an object",
    "an object in protobuf",
    "an object in CBOR",
    "an object in YAML",
    "an object that is not there",
    "a list",
    "a list as a table",
    "a list as metadata",
    "a big answer in gzip",
    "a deprecated kind warns",
    "a path that is not",
    "a type nobody speaks",
    "a name in unicode",
}
CHANGING = {"OpenAPI v2", "OpenAPI v3", "a list", "a table", "aggregated", "groups", "a big", "deprecated"}


def _enter_gets() -> None:
    for name, (path, accept, more) in GETS.items():

        def do(side: Side, path: str = path, accept: str = accept, more: Headers = more) -> Seen:
            return seen(side.get(path, accept=accept, headers=more), side)

        changing = name.startswith(tuple(CHANGING))
        ALL.append(Behaviour(name=f"get: {name}", do=do, grpc=name in GRPC, changing=changing))


_enter_gets()


@behaviour("get: conditional with an ETag is a 304")
def _etag(side: Side) -> Seen:
    first = side.get("/openapi/v3/apis/apps/v1")
    again = side.get("/openapi/v3/apis/apps/v1", headers=[("If-None-Match", first.value("ETag"))])
    other = side.get("/openapi/v3/apis/apps/v1", headers=[("If-None-Match", '"another"')])
    return seen(again, side), other.status


@behaviour("get: conditional on aggregated discovery is a 304", changing=True, grpc=True)
def _discovery_etag(side: Side) -> Seen:
    first = side.get("/apis", accept=DISCOVERY)
    return seen(side.get("/apis", accept=DISCOVERY, headers=[("If-None-Match", first.value("ETag"))]), side)


@behaviour("get: OpenAPI by If-Modified-Since", changing=True)
def _modified_since(side: Side) -> Seen:
    first = side.get("/openapi/v2")
    same = side.get("/openapi/v2", headers=[("If-Modified-Since", first.value("Last-Modified"))])
    return seen(same, side), bool(first.value("Last-Modified"))


@behaviour("get: a hashed address of OpenAPI v3 may be cached, and says so", changing=True)
def _hashed(side: Side) -> Seen:
    index = json.loads(side.get("/openapi/v3").body)
    address = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    return seen(side.get(address), side), address.partition("?")[0]


@behaviour("get: a part of OpenAPI by Range", changing=True)
def _range(side: Side) -> Seen:
    return seen(side.get("/openapi/v2", headers=[("Range", "bytes=0-99")]), side)


@behaviour("get: parts of OpenAPI by several ranges", changing=True)
def _ranges(side: Side) -> Seen:
    answer = side.get("/openapi/v2", headers=[("Range", "bytes=0-9,20-29")])
    return answer.status, answer.value("Content-Type").partition(";")[0]


@behaviour("get: a range beyond the end is a 416", changing=True)
def _range_beyond(side: Side) -> Seen:
    return seen(side.get("/openapi/v2", headers=[("Range", "bytes=999999999-")]), side)


@behaviour("get: the bytes of a gzip answer", changing=True)
def _gzip_bytes(side: Side) -> Seen:
    answer = side.get("/openapi/v2", headers=[("Accept-Encoding", "gzip")])
    assert gzip.decompress(answer.body)
    return answer.body


def _without_its_own_header(direct: Seen, through: Seen) -> bool:
    dropped = {"Process-Start-Time-Unix"}
    return set(direct[1]) - dropped == set(through[1]) and direct[2] and through[2]


@behaviour("get: metrics in text", who="agent", difference="other-headers", stated=_without_its_own_header)
def _metrics(side: Side) -> Seen:
    answer = side.get("/metrics", accept="text/plain;version=0.0.4")
    families = {line.split()[2] for line in answer.body.decode().splitlines() if line.startswith("# TYPE")}
    return answer.status, headers(answer), "apiserver_request_total" in families


@behaviour("head: an object", grpc=True)
def _head(side: Side) -> Seen:
    return seen(side.request("HEAD", ROLES + "/view"), side)


@behaviour("head: a list, a missing path, health")
def _heads(side: Side) -> Seen:
    return [seen(side.request("HEAD", path), side) for path in (ROLES + "?limit=2", "/nothing", "/readyz")]


def _maps(side: Side, count: int) -> str:
    path = side.within("configmaps")
    for number in range(count):
        body = {
            "metadata": {"name": f"map-{number:03d}", "labels": {"of": "mine"}},
            "data": {"n": str(number)},
        }
        side.make(path, body)
    return path + "?labelSelector=of%3Dmine"


@behaviour("list: chunks by limit and continue", grpc=True)
def _chunks(side: Side) -> Seen:
    path, token, pages = _maps(side, 25), "", []
    while True:
        page = json.loads(side.get(f"{path}&limit=10{token}").body)
        names = [item["metadata"]["name"] for item in page["items"]]
        pages.append((names, page["metadata"].get("remainingItemCount"), "continue" in page["metadata"]))
        if "continue" not in page["metadata"]:
            return pages
        token = f"&continue={page['metadata']['continue']}"


@behaviour("list: a chunk is of the version of the first one")
def _consistent_chunks(side: Side) -> Seen:
    path = _maps(side, 4)
    first = json.loads(side.get(f"{path}&limit=2").body)
    side.make(side.within("configmaps"), {"metadata": {"name": "late", "labels": {"of": "mine"}}})
    rest = json.loads(side.get(f"{path}&limit=9&continue={first['metadata']['continue']}").body)
    same = rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    return [item["metadata"]["name"] for item in rest["items"]], same


@behaviour("list: a remembered version exactly")
def _exactly(side: Side) -> Seen:
    path = _maps(side, 2)
    version = json.loads(side.get(path).body)["metadata"]["resourceVersion"]
    side.make(side.within("configmaps"), {"metadata": {"name": "late", "labels": {"of": "mine"}}})
    exact = json.loads(side.get(f"{path}&resourceVersion={version}&resourceVersionMatch=Exact").body)
    return [item["metadata"]["name"] for item in exact["items"]], exact["metadata"][
        "resourceVersion"
    ] == version


@behaviour("list: 2.4 MB at once", grpc=True)
def _large_list(side: Side) -> Seen:
    path = side.within("configmaps")
    for number in range(40):
        side.make(
            path,
            {"metadata": {"name": f"big-{number:03d}", "labels": {"of": "mine"}}, "data": {"d": "x" * 60000}},
        )
    answer = side.get(path + "?labelSelector=of%3Dmine")
    packed = side.get(path + "?labelSelector=of%3Dmine", headers=[("Accept-Encoding", "gzip")])
    assert packed.value("Content-Encoding") == "gzip"
    assert plain(packed.unpacked, side) == plain(answer.body, side)
    return seen(answer, side)


@behaviour("list: protobuf after its magic number")
def _protobuf_magic(side: Side) -> Seen:
    answer = side.get(_maps(side, 3), accept=PROTOBUF)
    return struct.unpack("4s", answer.body[:4]), answer.status, headers(answer), len(plain(answer.body, side))


@behaviour("list: across all namespaces by a label")
def _across(side: Side) -> Seen:
    label = side.namespace_name
    side.make(side.within("configmaps"), {"metadata": {"name": "far", "labels": {"at": label}}})
    return seen(side.get(f"/api/v1/configmaps?labelSelector=at%3D{label}"), side)
