"""The two sides a behaviour is run at: the API server itself, and kas; asked by the same person."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.e2e.conformance import raw_http
from tests.e2e.conformance.raw_http import Answer, Connection, Headers

JSON = "application/json"
_FRESH_S = 20.0
Body = bytes | str | Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a program left."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where and as whom one person enters one server."""

    name: str
    address: tuple[str, int]
    prefix: str
    trust: ssl.SSLContext
    headers: Headers
    kubeconfig: Path
    home: Path
    """Of programs that go through this door; they keep their caches there."""
    binaries: Mapping[str, Path]
    admin: Door | None = None
    """Who makes namespaces; none: this door itself."""
    idle: queue.LifoQueue[tuple[float, Connection]] = field(default_factory=queue.LifoQueue)

    def connect(self) -> Connection:
        """A connection of one's own."""
        return Connection(self.address, self.trust)

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """One that may have been used before, and may be again."""
        used = self._fresh() or self.connect()
        try:
            yield used
        except BaseException:
            used.close()
            raise
        if used.reusable:
            self.idle.put((time.monotonic(), used))
        else:
            used.close()

    def _fresh(self) -> Connection | None:
        """One that no server has given up yet."""
        with contextlib.suppress(queue.Empty):
            while True:
                since, used = self.idle.get_nowait()
                if time.monotonic() - since < _FRESH_S:
                    return used
                used.close()
        return None

    def close(self) -> None:
        """Closes what nobody uses now."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.idle.get_nowait()[1].close()


class Side:
    """One run of one behaviour at one door; its namespace is made at the first use."""

    def __init__(self, door: Door, number: int) -> None:
        self.door = door
        self.namespace_name = f"behaviour-{number:03d}-{door.name[0]}"
        self.cluster_wide = f"cw-{number:03d}-{door.name[0]}"
        """A prefix for objects outside namespaces."""
        self._has_namespace = False

    @property
    def namespace(self) -> str:
        """A namespace for this run alone."""
        if not self._has_namespace:
            self._has_namespace = True
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace_name}}
            made = Side(self.door.admin or self.door, 0).post("/api/v1/namespaces", body)
            assert made.status == 201, made
        return self.namespace_name

    def within(self, resource: str, name: str = "", *, group: str = "") -> str:
        """The path of a collection in the namespace, or of an object."""
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{resource}" + (f"/{quote(name)}" if name else "")

    def head(self, method: str, path: str, headers: Headers | None = None) -> bytes:
        """A request's head as bytes, with the credential."""
        host = f"{self.door.address[0]}:{self.door.address[1]}"
        return raw_http.head(method, self.door.prefix + path, host, self.door.headers + (headers or []))

    def request(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        accept: str = JSON,
        content_type: str = JSON,
        headers: Headers | None = None,
    ) -> Answer:
        """One request, its answer whole."""
        data = encoded(body)
        sent = [("Accept", accept)] if accept else []
        if body is not None:
            sent += [("Content-Type", content_type), ("Content-Length", str(len(data)))]
        with self.door.connection() as connection:
            connection.send(self.head(method, path, sent + (headers or [])) + data)
            return connection.answer(bodiless=method == "HEAD")

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Body, **options: Any) -> Answer:
        return self.request("POST", path, body, **options)

    def put(self, path: str, body: Body, **options: Any) -> Answer:
        return self.request("PUT", path, body, **options)

    def patch(self, path: str, body: Body, kind: str = "merge-patch+json", **options: Any) -> Answer:
        return self.request("PATCH", path, body, content_type=f"application/{kind}", **options)

    def delete(self, path: str, body: Body | None = None, **options: Any) -> Answer:
        return self.request("DELETE", path, body, **options)

    def make(self, path: str, body: Body) -> Any:
        """An object that the behaviour needs, as the server keeps it."""
        answer = self.post(path, body)
        assert answer.status == 201, answer
        return json.loads(answer.body)

    @contextlib.contextmanager
    def open(self) -> Iterator[Connection]:
        """A new connection, closed at the end."""
        connection = self.door.connect()
        try:
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def watching(self, path: str, accept: str = JSON) -> Iterator[Connection]:
        """A watch whose head was read and good."""
        with self.open() as connection:
            connection.send(self.head("GET", path, [("Accept", accept)]))
            status, _, _ = connection.head()
            assert status == 200, connection.read_some()
            yield connection

    def run(
        self,
        program: str,
        arguments: Sequence[str],
        *,
        stdin: str | bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float = 100,
    ) -> Done:
        """A real program as this person."""
        done = subprocess.run(
            [str(self.door.binaries[program]), *arguments],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            env=self.environment(environment),
            timeout=timeout_s,
            check=False,
        )
        return Done(
            code=done.returncode,
            out=done.stdout.decode(errors="replace"),
            err=done.stderr.decode(errors="replace"),
        )

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """What programs of this person find around them."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.door.home),
            "LANG": "C.UTF-8",
            "KUBECONFIG": str(self.door.kubeconfig),
            **(more or {}),
        }


def encoded(body: Body | None) -> bytes:
    """A body's bytes."""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes):
        return body
    return b"" if body is None else json.dumps(body).encode()


def address_of(url: str) -> tuple[str, int]:
    """Host and port of a URL that names both."""
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 443)
