"""HTTP itself: methods, framing, connections, and what is sent in ways that few clients use."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.conformance import raw_http
from tests.e2e.conformance.behaviour import ALL, Behaviour, Seen, behaviour, headers, plain, seen
from tests.e2e.conformance.raw_http import Answer, Headers
from tests.e2e.conformance.side import Side
from tests.e2e.conformance.writing import config_map

VIEW = "/apis/rbac.authorization.k8s.io/v1/clusterroles/view"
JSON_TYPE: Headers = [("Content-Type", "application/json")]


def _one(side: Side, data: bytes, *, bodiless: bool = False) -> Answer:
    """These bytes on a connection of their own."""
    with side.open() as connection:
        connection.send(data)
        return connection.answer(bodiless=bodiless)


def _chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@behaviour("http: a chunked body", grpc=True)
def _chunked_body(side: Side) -> Seen:
    body = json.dumps(config_map(a="1")).encode()
    head = side.head("POST", side.within("configmaps"), [*JSON_TYPE, ("Transfer-Encoding", "chunked")])
    return seen(_one(side, head + _chunked(body[:7], body[7:20], body[20:])), side)


@behaviour("http: a chunked body of 1 MiB in small pieces", grpc=True)
def _chunked_large(side: Side) -> Seen:
    body = json.dumps(config_map(large="x" * 1000 * 1000)).encode()
    head = side.head(
        "POST", side.within("configmaps") + "?dryRun=All", [*JSON_TYPE, ("Transfer-Encoding", "chunked")]
    )
    pieces = [body[at : at + 997] for at in range(0, len(body), 997)]
    return seen(_one(side, head + _chunked(*pieces)), side)


@behaviour("http: a chunked body with extensions and trailers")
def _chunk_extensions(side: Side) -> Seen:
    body = json.dumps(config_map(a="1")).encode()
    head = side.head("POST", side.within("configmaps"), [*JSON_TYPE, ("Transfer-Encoding", "chunked")])
    framed = b"%x;name=value\r\n%b\r\n0\r\nX-Trailer: t\r\n\r\n" % (len(body), body)
    return seen(_one(side, head + framed), side)


@behaviour("http: Expect: 100-continue asks before the body is sent", grpc=True)
def _expect(side: Side) -> Seen:
    body = json.dumps(config_map(a="1")).encode()
    sent = [*JSON_TYPE, ("Content-Length", str(len(body))), ("Expect", "100-continue")]
    with side.open() as connection:
        connection.send(side.head("POST", side.within("configmaps"), sent))
        first = connection.head()
        connection.send(body)
        return first, seen(connection.answer(), side)


@behaviour("http: Expect of something else")
def _expect_other(side: Side) -> Seen:
    return _one(side, side.head("GET", VIEW, [("Expect", "miracles")])).status


@behaviour("http: a body that comes byte by byte")
def _slow_body(side: Side) -> Seen:
    body = json.dumps(config_map(a="1")).encode()
    head = side.head("POST", side.within("configmaps"), [*JSON_TYPE, ("Content-Length", str(len(body)))])
    with side.open() as connection:
        for at in range(0, len(head), 40):
            connection.send(head[at : at + 40])
        for byte in body:
            connection.send(bytes([byte]))
        return seen(connection.answer(), side)


@behaviour("http: GET with a body")
def _get_body(side: Side) -> Seen:
    head = side.head("GET", VIEW, [*JSON_TYPE, ("Content-Length", "2")])
    return seen(_one(side, head + b"{}"), side)


@behaviour("http: many requests on one connection, one after the other", grpc=True)
def _keep_alive(side: Side) -> Seen:
    path, told = side.within("configmaps"), []
    with side.open() as connection:
        for number in range(5):
            body = json.dumps(config_map(f"m{number}", a="1")).encode()
            connection.send(side.head("POST", path, [*JSON_TYPE, ("Content-Length", str(len(body)))]) + body)
            told.append(seen(connection.answer(), side))
            connection.send(side.head("GET", f"{path}/m{number}"))
            told.append(seen(connection.answer(), side))
            connection.send(side.head("HEAD", f"{path}/m{number}"))
            told.append(seen(connection.answer(bodiless=True), side))
            connection.send(side.head("GET", f"{path}/none"))
            told.append(seen(connection.answer(), side))
            connection.send(side.head("DELETE", f"{path}/m{number}"))
            told.append(seen(connection.answer(), side))
    return told


@behaviour("http: eight pipelined requests are answered in order", grpc=True)
def _pipelined(side: Side) -> Seen:
    paths = [VIEW, "/version", "/none", "/api", VIEW, "/apis/apps/v1", "/livez", "/version"]
    with side.open() as connection:
        connection.send(b"".join(side.head("GET", path) for path in paths))
        return [seen(connection.answer(), side) for _ in paths]


@behaviour("http: writes pipelined with reads keep their order")
def _pipelined_writes(side: Side) -> Seen:
    path, requests = side.within("configmaps"), []
    for number in range(4):
        body = json.dumps(config_map("m", n=str(number))).encode()
        method, target = ("POST", path) if number == 0 else ("PUT", path + "/m")
        requests.append(side.head(method, target, [*JSON_TYPE, ("Content-Length", str(len(body)))]) + body)
        requests.append(side.head("GET", path + "/m"))
    with side.open() as connection:
        connection.send(b"".join(requests))
        return [json.loads(connection.answer().body)["data"]["n"] for _ in requests]


@behaviour("http: Connection: close is kept")
def _close(side: Side) -> Seen:
    with side.open() as connection:
        connection.send(side.head("GET", VIEW, [("Connection", "close")]))
        answer = connection.answer()
        return seen(answer, side), connection.read_some()


@behaviour("http: HTTP/1.0 gets an answer and the end")
def _http_1_0(side: Side) -> Seen:
    with side.open() as connection:
        connection.send(side.head("GET", "/version").replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\n", 1))
        answer = connection.answer()
        return answer.status, plain(answer.body, side), connection.read_some()


@behaviour("http: a list over HTTP/1.0")
def _list_http_1_0(side: Side) -> Seen:
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles?fieldSelector=metadata.name%3Dadmin"
    with side.open() as connection:
        connection.send(side.head("GET", path).replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\n", 1))
        answer = connection.answer()
        return answer.status, answer.framing, plain(answer.body, side)


@behaviour("http: a client that closes its half has hung up")
def _half_close(side: Side) -> Seen:
    """TLS lets each half close alone; the API server takes it for the whole, so a watch ends."""
    target = f"{side.within('configmaps')}?watch=1&timeoutSeconds=30"
    with raw_http.HalfClosing(side.door.address, side.door.trust) as connection:
        connection.send(side.head("GET", target))
        head = connection.receive_until(b"\r\n\r\n")
        connection.close_our_half()
        return head[:12], connection.ends_within(10)


@behaviour("http: a hundred requests at once over as many connections", grpc=True)
def _parallel(side: Side) -> Seen:
    def ask(number: int) -> tuple[int, int]:
        answer = side.get(f"{VIEW}?n={number}")
        return answer.status, len(answer.body)

    with ThreadPoolExecutor(25) as pool:
        return sorted(pool.map(ask, range(100)))


@behaviour("http: a header line of 8 KiB")
def _long_header(side: Side) -> Seen:
    return seen(side.get(VIEW, headers=[("X-Long", "x" * 8192)]), side)


@behaviour("http: a target of 6 KiB", grpc=True)
def _long_target(side: Side) -> Seen:
    names = ",".join(f"name-{number:04d}" for number in range(600))
    return seen(
        side.get(f"/api/v1/namespaces?labelSelector=a+in+({names})&limit=1&resourceVersion=0"), side
    ) | {"body": None}


@behaviour("http: the same header twice")
def _header_twice(side: Side) -> Seen:
    twice = [("Accept", "application/yaml"), ("Accept", "application/json")]
    return seen(side.get(VIEW, accept="", headers=twice), side)


@behaviour("http: header names in odd letters")
def _odd_letters(side: Side) -> Seen:
    return seen(side.get(VIEW, accept="", headers=[("aCCepT", "application/yaml")]), side)


@behaviour("http: white space around a header's value")
def _white_space(side: Side) -> Seen:
    return seen(side.get(VIEW, accept="", headers=[("Accept", "  application/yaml \t")]), side)


# -- where kas does something else -----------------------------------------------------------------------------------


def _differently(
    name: str, key: str, method: str, path: str, sent: Headers, stated: Callable[[Seen, Seen], bool]
) -> None:
    def do(side: Side) -> Seen:
        answer = _one(side, side.head(method, path, sent))
        return answer.status, headers(answer), plain(answer.body, side).decode()

    ALL.append(Behaviour(name=name, do=do, difference=key, stated=stated))


def _is_400(words: str) -> Callable[[Seen, Seen], bool]:
    return lambda direct, through: through[0] == 400 and words in through[2] and direct[2] != through[2]


_differently(
    "http: OPTIONS is a preflight that kas answers",
    "options",
    "OPTIONS",
    "/api/v1/pods",
    [],
    lambda direct, through: (
        direct[0] == 405 and through[0] == 200 and "Access-Control-Allow-Methods" in through[1]
    ),
)
_differently(
    "http: a path with an empty segment",
    "odd-paths",
    "GET",
    "/api//v1/namespaces",
    [],
    lambda direct, through: direct[0] == 404 and _is_400("empty segment")(direct, through),
)
_differently(
    "http: a path with two dots",
    "odd-paths",
    "GET",
    "/api/v1/../v1/namespaces/default",
    [],
    _is_400("'.' or '..' segment"),
)
_differently(
    "http: an encoded slash", "odd-paths", "GET", "/api/v1/namespaces/a%2Fb", [], _is_400("encoded slash")
)
_differently(
    "http: a semicolon in the query's path",
    "odd-paths",
    "GET",
    "/api/v1/namespaces/a;b",
    [],
    _is_400("percent-encoded"),
)
_differently(
    "http: a hundred and one parameters",
    "odd-paths",
    "GET",
    "/version?" + "&".join(f"p{number}=1" for number in range(101)),
    [],
    _is_400("parameters"),
)
_differently(
    "http: an upgrade to what nobody knows",
    "upgrades",
    "GET",
    VIEW,
    [("Connection", "Upgrade"), ("Upgrade", "h2c")],
    _is_400("the only upgrades are"),
)
_differently(
    "http: an upgrade where there is nothing to upgrade",
    "upgrades",
    "GET",
    VIEW,
    [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "a" * 22 + "=="),
        ("Sec-WebSocket-Version", "13"),
    ],
    _is_400("nothing to upgrade to"),
)
_differently(
    "http: impersonation on top of impersonation",
    "impersonation",
    "GET",
    VIEW,
    [("Impersonate-Extra-More", "power")],
    lambda direct, through: direct[0] == 200 and through[0] == 400,
)


@behaviour(
    "http: HTTP/2 is offered by the API server alone",
    difference="http2",
    stated=lambda direct, through: (direct, through) == ("h2", "http/1.1"),
)
def _alpn(side: Side) -> Seen:
    import socket

    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(side.door.address, 10) as raw, trust.wrap_socket(raw) as wrapped:
        return wrapped.selected_alpn_protocol()


@behaviour(
    "http: no credential at all",
    difference="strangers",
    stated=lambda direct, through: direct[0] == 200 and through[0] == 401 and through[1] == ["true"],
)
def _stranger(side: Side) -> Seen:
    with side.open() as connection:
        line = f"GET {side.door.prefix}/version HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.send(line.encode())
        answer = connection.answer()
        return answer.status, answer.values("Gitlab-Unauthorized")


@behaviour(
    "http: a wrong token",
    difference="strangers",
    stated=lambda direct, through: (
        (direct[0], through[0]) == (401, 401) and "GitLab Agent Server" in through[1]
    ),
)
def _wrong_token(side: Side) -> Seen:
    with side.open() as connection:
        line = (
            f"GET {side.door.prefix}/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pat:1:wrong\r\n\r\n"
        )
        connection.send(line.encode())
        answer = connection.answer()
        return answer.status, json.loads(answer.body)["message"]


@behaviour(
    "http: the client's own Audit-Id",
    difference="audit-id",
    stated=lambda direct, through: direct and not through,
)
def _audit_id(side: Side) -> Seen:
    named = "f" * 32
    return side.get("/version", headers=[("Audit-Id", named)]).value("Audit-Id") == named


@behaviour("http: every answer has an Audit-Id of its own", grpc=True)
def _audit_ids(side: Side) -> Seen:
    ids = {side.get("/version").value("Audit-Id") for _ in range(5)}
    return len(ids), all(len(one) in {32, 36} for one in ids)


@behaviour("http: priority and fairness tells which level a request has", grpc=True)
def _fairness(side: Side) -> Seen:
    answer = side.get("/api/v1/namespaces/default")
    names = ("X-Kubernetes-PF-FlowSchema-UID", "X-Kubernetes-PF-PriorityLevel-UID")
    return [len(answer.value(name)) for name in names], [answer.value(name) for name in names]


@behaviour(
    "http: methods the API server does not know",
    difference="methods",
    stated=lambda direct, through: (set(direct), set(through)) == ({405}, {400}),
)
def _methods(side: Side) -> Seen:
    return [_one(side, side.head(method, VIEW)).status for method in ("TRACE", "CONNECT", "PROPFIND", "get")]


SECURITY = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "via": "1.1 kasbah-kas",
}


def _secured(direct: Seen, through: Seen) -> bool:
    own = [SECURITY.items() <= one.items() for one in through]
    return all(own) and all(
        "via" not in one and one["cache-control"].startswith("no-cache") for one in direct
    )


@behaviour("http: the headers of every answer", difference="headers", stated=_secured)
def _headers(side: Side) -> Seen:
    paths = (VIEW, "/version", "/none", "/api/v1/namespaces/none/configmaps", "/api/v1/namespaces/none")
    answers = [side.get(path) for path in paths]
    return [{name.lower(): value for name, value in answer.headers} for answer in answers]
