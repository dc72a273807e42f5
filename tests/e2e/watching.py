"""Watches held open with nothing but HTTP, and changes made behind everybody's back: what was said against what happened."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx2

import sandbox
from kasbah.wire.watch.encoding import JSON, PROTOBUF
from tests.e2e.world import World

Change = tuple[str, str]
"""Type and resourceVersion, or for a deletion, whose version the API server does not tell, the type alone."""


def ask(world: World, path: str, **options: float) -> httpx2.Response:
    """One GET of the Kubernetes API through kas, as it comes: kubectl would try again in silence."""
    tls = ssl.create_default_context(cafile=world.ca_file)
    with httpx2.Client(verify=tls, trust_env=False, timeout=options.get("timeout_s", 30)) as client:
        server = (world.server or world.proxy).rstrip("/")
        return client.get(f"{server}{path}", headers={"Authorization": f"Bearer {world.bearer}"})


class ApiServer:
    """The API server itself, as its administrator."""

    def __init__(self, cluster: sandbox.Cluster) -> None:
        config = json.loads(cluster.kubectl("config", "view", "--raw", "-o=json").stdout)
        where = config["clusters"][0]["cluster"]
        tls = ssl.create_default_context(
            cadata=base64.b64decode(where["certificate-authority-data"]).decode()
        )
        self._token = config["users"][0]["user"]["token"]
        self._connection = http.client.HTTPSConnection(
            urlsplit(where["server"]).netloc, context=tls, timeout=30
        )

    def close(self) -> None:
        """Hang up; the next call dials again."""
        self._connection.close()

    def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """One call, over one connection for all."""
        content = None if body is None else json.dumps(body)
        kind = "merge-patch+json" if method == "PATCH" else "json"
        headers = {"Content-Type": f"application/{kind}", "Authorization": f"Bearer {self._token}"}
        self._connection.request(method, path, content, headers)
        answer = self._connection.getresponse()
        read = json.loads(answer.read())
        assert answer.status < 300, read
        assert isinstance(read, dict)
        return read


def version_of(thing: dict[str, object]) -> str:
    """Its resourceVersion."""
    metadata = thing["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["resourceVersion"])


class Writer:
    """Changes ConfigMaps of a namespace, one change after the other."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self.api = api
        self.path = f"/api/v1/namespaces/{namespace}/configmaps"
        self.changes: list[Change] = []
        api.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})

    def write(self, count: int, per_second: float = float("inf")) -> None:
        """So many changes; of twenty, two create and one deletes."""
        began = time.monotonic()
        for number in range(count):
            self._write(len(self.changes))
            ahead_s = (number + 1) / per_second - (time.monotonic() - began)
            if ahead_s > 0:
                time.sleep(ahead_s)  # noqa: TID251 - the pace of the load

    def _write(self, number: int) -> None:
        name = f"{self.path}/m{number // 20}"
        labels = {"watched": "yes"}
        match number % 20:
            case 0:
                body = {"metadata": {"name": f"m{number // 20}", "labels": labels}, "data": {"n": "0"}}
                made = self.api.call("POST", self.path, body)
                self.changes.append(("ADDED", version_of(made)))
            case 19:
                self.api.call("DELETE", name)
                self.changes.append(("DELETED", ""))
            case _:
                size = 200 if number % 100 else 300_000  # now and then an event larger than a window
                body = {"data": {"n": str(number), "padding": "x" * size}}
                self.changes.append(("MODIFIED", version_of(self.api.call("PATCH", name, body))))


class Watcher:
    """One watch over one connection, which is never made again; read by a thread of its own.

    Attributes:
        changes: what it was told.
        end: how it ended, empty while it runs.
        size: bytes it was sent.
    """

    def __init__(self, world: World, path: str, *, accept: str = "application/json") -> None:
        self.changes: list[Change] = []
        self.bookmarks = 0
        self.end = ""
        self.size = 0
        self._encoding = PROTOBUF if "protobuf" in accept else JSON
        where = urlsplit(world.server or world.proxy)
        self._connection = http.client.HTTPSConnection(
            where.netloc, context=ssl.create_default_context(cafile=world.ca_file), timeout=120
        )
        headers = {"Authorization": f"Bearer {world.bearer}", "Accept": accept}
        self._connection.request("GET", where.path.rstrip("/") + path, headers=headers)
        self._socket = self._connection.sock
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        scanner, event = self._encoding.scanner(), b""
        try:
            while data := self._answer.read1(65536):
                self.size += len(data)
                start = 0
                while start < len(data):
                    end = scanner.end_of_event(data, start)
                    event += data[start : end or len(data)]
                    if not end:
                        break
                    self._take(event)
                    start, event = end, b""
            self.end = "ended" if not event else "torn"
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.end = f"{type(error).__name__}: {error}"

    def _take(self, event: bytes) -> None:
        kind, version = self._encoding.read(event)
        if kind == "BOOKMARK":
            self.bookmarks += 1
        elif kind == "ERROR":
            self.changes.append((kind, event.decode("latin-1")))
        else:
            self.changes.append((kind, "" if kind == "DELETED" else version))

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._answer.close()
        self._connection.close()


@contextlib.contextmanager
def watching(world: World, path: str, **options: str) -> Iterator[Watcher]:
    """A watch, closed at the end."""
    watcher = Watcher(world, path, **options)
    try:
        yield watcher
    finally:
        watcher.close()


@contextlib.contextmanager
def again_and_again(act: Callable[[], None], every_s: float) -> Iterator[list[float]]:
    """Do this every so often while the body runs; when it was done, by the monotonic clock."""
    done: list[float] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(every_s):
            act()
            done.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()
