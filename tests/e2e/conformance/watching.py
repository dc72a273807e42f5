"""Watches: events in order, bookmarks, lists within the watch, and how a watch ends."""

from __future__ import annotations

import json
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.e2e.conformance.behaviour import CBOR, Seen, behaviour, headers, plain
from tests.e2e.conformance.raw_http import Connection
from tests.e2e.conformance.reading import PROTOBUF, TABLE, YAML
from tests.e2e.conformance.side import JSON, Side
from tests.e2e.conformance.writing import config_map


def _version(side: Side) -> str:
    return str(json.loads(side.get(side.within("configmaps")).body)["metadata"]["resourceVersion"])


def _target(side: Side, more: str = "") -> str:
    """A watch of the one object `m` from now on."""
    only = "fieldSelector=metadata.name%3Dm"
    return f"{side.within('configmaps')}?watch=true&{only}&resourceVersion={_version(side)}{more}"


def _events(connection: Connection, count: int, side: Side) -> list[Any]:
    """So many events, each a line."""
    data = b""
    while data.count(b"\n") < count:
        piece = connection.chunk()
        assert piece, data
        data += piece
    return [json.loads(plain(line, side)) for line in data.splitlines()]


def _live(side: Side) -> None:
    """A short life: made, changed twice, deleted."""
    path = side.within("configmaps")
    side.make(path, config_map(a="1"))
    side.patch(path + "/m", {"data": {"a": "2"}})
    side.patch(path + "/m", {"metadata": {"labels": {"b": "3"}}})
    side.delete(path + "/m")


@behaviour("watch: a life in four events", grpc=True)
def _life(side: Side) -> Seen:
    with side.watching(_target(side)) as connection:
        _live(side)
        return _events(connection, 4, side)


@behaviour("watch: a life after the fact, from a remembered version", grpc=True)
def _replayed(side: Side) -> Seen:
    target = _target(side)
    _live(side)
    with side.watching(target) as connection:
        return _events(connection, 4, side)


@behaviour("watch: its head", grpc=True)
def _head(side: Side) -> Seen:
    answer = side.get(_target(side, "&timeoutSeconds=1"))
    return answer.status, answer.framing, headers(answer), answer.body


@behaviour("watch: timeoutSeconds ends it well", grpc=True)
def _timeout(side: Side) -> Seen:
    target = _target(side, "&timeoutSeconds=1")
    side.make(side.within("configmaps"), config_map(a="1"))
    answer = side.get(target)
    return answer.status, plain(answer.body, side), answer.trailers


@behaviour("watch: objects that are there come first")
def _initial(side: Side) -> Seen:
    side.make(side.within("configmaps"), config_map(a="1"))
    target = f"{side.within('configmaps')}?watch=1&fieldSelector=metadata.name%3Dm&timeoutSeconds=1"
    return plain(side.get(target).body, side)


@behaviour("watch: sendInitialEvents ends the list with a bookmark", grpc=True)
def _streaming_list(side: Side) -> Seen:
    for name in ("a", "b", "c"):
        side.make(side.within("configmaps"), {"metadata": {"name": name, "labels": {"of": "mine"}}})
    target = (
        f"{side.within('configmaps')}?watch=1&labelSelector=of%3Dmine&sendInitialEvents=true"
        "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=10"
    )
    with side.watching(target) as connection:
        events = _events(connection, 4, side)
    marked = events[3]["object"]["metadata"]["annotations"]
    return sorted(event["object"]["metadata"].get("name", "") for event in events), events[3]["type"], marked


@behaviour("watch: sendInitialEvents without what it needs is refused")
def _streaming_list_refused(side: Side) -> Seen:
    answer = side.get("/api/v1/configmaps?watch=1&sendInitialEvents=true")
    return answer.status, plain(answer.body, side)


@behaviour("watch: a bookmark comes before the end", slow=True)
def _bookmark(side: Side) -> Seen:
    """The API server sends them when it can, so of several watches only some may get one."""
    target = _target(side, "&allowWatchBookmarks=true&timeoutSeconds=5")
    side.make(side.within("configmaps"), config_map("other"))  # so that there is progress to tell of

    def types(late: int) -> set[str]:
        time.sleep(late * 0.4)  # noqa: TID251 - the watches must not begin in the same second
        return {json.loads(line)["type"] for line in side.get(target).body.splitlines()}

    with ThreadPoolExecutor(5) as pool:
        return set().union(*pool.map(types, range(5)))


@behaviour("watch: one object by the old path")
def _old_path(side: Side) -> Seen:
    path = f"/api/v1/watch/namespaces/{side.namespace}/configmaps/m?resourceVersion={_version(side)}"
    with side.watching(path) as connection:
        _live(side)
        return _events(connection, 4, side)


@behaviour("watch: as a table")
def _table(side: Side) -> Seen:
    with side.watching(_target(side), TABLE) as connection:
        side.make(side.within("configmaps"), config_map(a="1"))
        (event,) = _events(connection, 1, side)
    return event["type"], event["object"]["kind"], event["object"]["rows"][0]["cells"][:2]


@behaviour("watch: as metadata")
def _metadata(side: Side) -> Seen:
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    with side.watching(_target(side), accept) as connection:
        _live(side)
        return _events(connection, 4, side)


@behaviour("watch: in protobuf frames", grpc=True)
def _protobuf(side: Side) -> Seen:
    with side.watching(_target(side), f"{PROTOBUF};stream=watch") as connection:
        _live(side)
        data, lengths = b"", []
        while len(lengths) < 4:
            data += connection.chunk()
            while len(data) >= 4 and len(data) >= 4 + struct.unpack("!I", data[:4])[0]:
                (length,) = struct.unpack("!I", data[:4])
                lengths.append((length, data[4:14]))
                data = data[4 + length :]
    return [kind[2:7] for _, kind in lengths], all(length > 100 for length, _ in lengths)


@behaviour("watch: in a sequence of CBOR")
def _cbor(side: Side) -> Seen:
    with side.watching(_target(side), CBOR) as connection:
        side.make(side.within("configmaps"), config_map(a="1"))
        return connection.chunk()[:4]


@behaviour("watch: in YAML is refused")
def _yaml(side: Side) -> Seen:
    answer = side.get(_target(side, "&timeoutSeconds=1"), accept=YAML)
    return answer.status, headers(answer), plain(answer.body, side)


@behaviour("watch: from a version that is gone is an ERROR event with a 410", grpc=True)
def _gone(side: Side) -> Seen:
    answer = side.get("/apis/rbac.authorization.k8s.io/v1/roles?watch=1&resourceVersion=1&timeoutSeconds=2")
    event = json.loads(answer.body.splitlines()[0])
    return answer.status, event["type"], event["object"].get("code"), event["object"].get("reason")


@behaviour("watch: from a version of the future")
def _future(side: Side) -> Seen:
    answer = side.get(
        "/apis/rbac.authorization.k8s.io/v1/roles?watch=1&resourceVersion=99999999&timeoutSeconds=1"
    )
    return answer.status, plain(answer.body, side)


@behaviour("watch: a version that is no number")
def _no_number(side: Side) -> Seen:
    answer = side.get("/api/v1/configmaps?watch=1&resourceVersion=abc&timeoutSeconds=1")
    return answer.status, headers(answer), plain(answer.body, side)


@behaviour("watch: of an object that leaves the selection")
def _leaves(side: Side) -> Seen:
    path = side.within("configmaps")
    target = f"{path}?watch=1&labelSelector=in%3Dyes&resourceVersion={_version(side)}"
    with side.watching(target) as connection:
        side.make(path, {"metadata": {"name": "m", "labels": {"in": "yes"}}})
        side.patch(path + "/m", {"metadata": {"labels": {"in": "no"}}})
        side.patch(path + "/m", {"metadata": {"labels": {"in": "yes"}}})
        return [
            (event["type"], event["object"]["metadata"]["labels"]) for event in _events(connection, 3, side)
        ]


@behaviour("watch: a hundred changes, none missing, in order", grpc=True)
def _many(side: Side) -> Seen:
    path = side.within("configmaps")
    with side.watching(_target(side)) as connection:
        side.make(path, config_map(n="0"))
        for number in range(1, 100):
            side.patch(path + "/m", {"data": {"n": str(number)}})
        return [int(event["object"]["data"]["n"]) for event in _events(connection, 100, side)]


@behaviour("watch: an event of 900 KiB", grpc=True)
def _large(side: Side) -> Seen:
    with side.watching(_target(side)) as connection:
        side.make(side.within("configmaps"), config_map(large="x" * 900 * 1024))
        (event,) = _events(connection, 1, side)
    return event["type"], len(event["object"]["data"]["large"])


@behaviour("watch: over a WebSocket")
def _websocket(side: Side) -> Seen:
    upgrade = [
        ("Origin", f"https://{side.door.address[0]}:{side.door.address[1]}"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ]
    with side.open() as connection:
        connection.send(side.head("GET", _target(side), [("Accept", JSON), *upgrade]))
        status, _, found = connection.head()
        assert status == 101, (status, found, connection.read_some())
        side.make(side.within("configmaps"), config_map(a="1"))
        opcode, length = connection.read(2)
        size = int.from_bytes(connection.read({126: 2, 127: 8}.get(length, 0)), "big") or length
        event = json.loads(plain(connection.read(size), side))
    accepted = [value for name, value in found if name.lower() == "sec-websocket-accept"]
    return opcode, accepted, event
