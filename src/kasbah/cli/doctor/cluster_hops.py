"""The looks through the tunnel, with a credential: who one is in the cluster, and whether every kind of traffic passes."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import SplitResult, quote

from kasbah.cli.doctor import answers
from kasbah.kit.doctor import http_faults
from kasbah.kit.doctor.check import Check, FaultError, Finding
from kasbah.kit.doctor.link import Answer, Exchange
from kasbah.kit.doctor.way import Way
from kasbah.kit.secrets import Secret
from kasbah.wire.kubernetes_status import is_from_kas
from kasbah.wire.websocket import WebSocketError, WebSocketReceiver

BODY_BYTES: Final = 1280 * 1024
"""More than the mebibyte that proxies allow when nobody tells them otherwise."""
AT_ONCE_S: Final = 5.0
_LIMIT_S: Final = 60.0
"""kas may wait half a minute for an agent that is away for a moment."""
_EXEC_S: Final = 20.0
_ACCESS_REVIEW: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_NO_POD: Final = "kasbah-doctor-asks-for-a-pod-that-is-not-there"


class ClusterHops:
    """One agent's cluster."""

    def __init__(
        self,
        way: Way,
        url: SplitResult,
        obtain: Callable[[], Awaitable[Secret]],
        *,
        namespace: str,
        pod: str,
        watch_s: float,
    ) -> None:
        """`obtain` makes or finds the credential that kubectl would send."""
        self._way = way
        self._prefix = url.path.rstrip("/")
        self._authority = url.netloc
        self._obtain = obtain
        self._namespace = namespace
        self._pod = pod
        self._watch_s = watch_s
        self._bearer = Secret("")

    def checks(self, *needs: str) -> list[Check]:
        """In order."""
        through = ("cluster.version",)
        looks = [
            ("agent.credential", "obtain a credential as kubectl does", self._look_at_credential, needs),
            (
                "cluster.version",
                "GET /version through the tunnel",
                self._look_at_version,
                ("agent.credential",),
            ),
            ("cluster.identity", "ask the API server who you are", self._look_at_identity, through),
            ("cluster.pods", f"may you list pods in {self._namespace}", self._look_at_pods, through),
            ("stream.websocket", "upgrade to a WebSocket", self._look_at_websocket, through),
            ("stream.exec", "exec over a WebSocket", self._look_at_exec, through),
            ("stream.spdy", "exec over SPDY/3.1", self._look_at_spdy, through),
            ("stream.watch", f"watch for {self._watch_s:g} s", self._look_at_watch, through),
            ("stream.body", f"send {BODY_BYTES >> 10} KiB", self._look_at_body, through),
        ]
        return [
            Check(name=name, doing=doing, look=look, needs=required, limit_s=_LIMIT_S + self._watch_s)
            for name, doing, look, required in looks
        ]

    async def _look_at_credential(self) -> Finding:
        self._bearer = await self._obtain()
        kind, _, rest = self._bearer.reveal().partition(":")
        if kind not in {"pat", "ci"}:
            return Finding(seen="a credential that is none of kas'")
        return Finding(seen=f"a credential of the kind {kind} for agent {rest.partition(':')[0]}")

    async def _look_at_version(self) -> Finding:
        await self._ask_json("GET", "/version")  # the first one also asks the hub who this is
        loop = asyncio.get_running_loop()
        began = loop.time()
        version = await self._ask_json("GET", "/version")
        return Finding(
            seen=f"Kubernetes {version.get('gitVersion')}, in {(loop.time() - began) * 1000:.1f} ms "
            "with a connection of its own"
        )

    async def _look_at_identity(self) -> Finding:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        user = (await self._ask_json("POST", path, review)).get("status", {}).get("userInfo", {})
        groups = ", ".join(map(str, user.get("groups", ()))) or "none"
        return Finding(seen=f"you are {user.get('username')} (groups: {groups})")

    async def _look_at_pods(self) -> Finding:
        attributes = {"verb": "list", "resource": "pods", "namespace": self._namespace}
        status = (await self._ask_json("POST", _ACCESS_REVIEW, _review(attributes))).get("status", {})
        if status.get("allowed"):
            return Finding(seen=f"you may list pods in {self._namespace}")
        return Finding(
            seen=f"you may not list pods in {self._namespace}",
            warning="rbac-list-pods",
            advice="ask somebody who may for a RoleBinding to the ClusterRole `view` in that namespace, for the user or "
            "one of the groups above",
        )

    # Streams

    async def _look_at_websocket(self) -> Finding:
        """A watch over a WebSocket touches no pod. The API server takes it from pages only, so it refuses us (403, and
        nothing else) when the upgrade arrives, and begins an ordinary watch when it does not.
        """
        path = f"/api/v1/namespaces/{self._escaped}/configmaps?watch=true&timeoutSeconds=2"
        answer = await self._upgrade("GET", path, _websocket_headers(""))
        if answer.status == 101 or (answer.status == 403 and not answer.body):
            return Finding(seen="the upgrade passes all the way to the API server")
        if (
            answer.status == 403
            and answers.is_status(answer)
            and not is_from_kas(answer.headers, answer.body)
        ):
            return Finding(seen="not tried: you may not watch config maps here, and the refusal came whole")
        if answer.status == 200:
            raise http_faults.upgrade_dropped(answer, "the API server")
        answers.judge(answer, path, expected=())
        raise http_faults.of(answer, server="the API server", target=path)

    async def _look_at_exec(self) -> Finding:
        path = self._exec_path()
        if not self._pod:
            return self._refused_as_it_must(
                await self._upgrade("GET", path, _websocket_headers("v5.channel.k8s.io")), path
            )
        async with self._way.open() as link:
            exchange = Exchange(link)
            request = self._request("GET", path, _websocket_headers("v5.channel.k8s.io"))
            answer = await exchange.ask(request)
            if answer.status == 101:
                return await _status_of_exec(link.reader, self._pod, exchange.behind_upgrade)
            answer.body = await exchange.piece()
        raise self._no_upgrade(answer, path)

    async def _look_at_spdy(self) -> Finding:
        path = self._exec_path()
        headers = ["Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"]
        answer = await self._upgrade("POST", path, [*headers, "Content-Length: 0"])
        if not self._pod:
            return self._refused_as_it_must(answer, path)
        if answer.status == 101:
            return Finding(seen=f"the upgrade to SPDY/3.1 passes for the pod {self._pod}")
        raise self._no_upgrade(answer, path)

    def _refused_as_it_must(self, answer: Answer, path: str) -> Finding:
        of_api_server = answers.is_status(answer) and not is_from_kas(answer.headers, answer.body)
        if answer.status in {403, 404} and of_api_server:
            return Finding(
                seen=f"the API server refuses it for a pod that is not there, as it must ({answer.status}); "
                "with --pod it is really done"
            )
        answers.judge(answer, path, expected=())
        raise http_faults.of(answer, server="the API server", target=path)

    def _no_upgrade(self, answer: Answer, path: str) -> FaultError:
        if answer.status == 400 and b"pgrade" in answer.body:
            return http_faults.upgrade_dropped(answer, "the API server")
        try:
            answers.judge(answer, path, expected=())
        except FaultError as fault:
            return fault
        return http_faults.of(answer, server="the API server", target=path)

    async def _look_at_watch(self) -> Finding:
        path = (
            f"/api/v1/namespaces/{self._escaped}/configmaps?watch=true&allowWatchBookmarks=true"
            "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
            f"&timeoutSeconds={round(self._watch_s) + 30}"
        )
        loop = asyncio.get_running_loop()
        async with self._way.open() as link:
            exchange, began = Exchange(link), loop.time()
            try:
                async with asyncio.timeout(AT_ONCE_S):
                    answer = await exchange.ask(self._request("GET", path, []))
                    answer.body = await exchange.piece()
            except TimeoutError as error:
                raise _held_back() from error
            if answer.status == 403 and answers.is_status(answer):
                return Finding(seen="not tried: you may not watch config maps here")
            if answer.status != 200:
                answers.judge(answer, path, expected=())
                raise http_faults.of(answer, server="the API server", target=path)
            first_s = loop.time() - began
            if await _ends_within(exchange, self._watch_s - first_s):
                raise FaultError(
                    "stream-cut",
                    f"the watch was cut after {loop.time() - began:.0f} s of the {self._watch_s:g} s",
                    "something on the way ends answers that are silent: let it wait long "
                    "(nginx: proxy_read_timeout 1h; load balancers: idle timeout)",
                )
        return Finding(
            seen=f"the first event came after {first_s * 1000:.0f} ms, and the watch lasted {self._watch_s:g} s"
        )

    async def _look_at_body(self) -> Finding:
        """An access review changes nothing, everybody may ask for one, and white space does not count."""
        review = json.dumps(
            _review({"verb": "list", "resource": "pods", "namespace": self._namespace})
        ).encode()
        answer = await self._ask("POST", _ACCESS_REVIEW, review.ljust(BODY_BYTES))
        if (
            answer.status == 413
            and not is_from_kas(answer.headers, answer.body)
            and not answers.is_status(answer)
        ):
            raise http_faults.too_large(answer, "kas")
        answers.judge(answer, _ACCESS_REVIEW, expected=(201,))
        return Finding(seen=f"a request of {BODY_BYTES >> 10} KiB passes")

    # Requests

    @property
    def _escaped(self) -> str:
        return quote(self._namespace, safe="")

    def _exec_path(self) -> str:
        pod = quote(self._pod or _NO_POD, safe="")
        return f"/api/v1/namespaces/{self._escaped}/pods/{pod}/exec?command=true&stdout=true&stderr=true"

    async def _ask_json(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        answer = await self._ask(method, path, json.dumps(document).encode() if document is not None else b"")
        return answers.judge(answer, path, expected=(200, 201))

    async def _ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        headers = ["Connection: close"]
        if body:
            headers += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return await self._way.ask(self._request(method, path, headers) + body)

    async def _upgrade(self, method: str, path: str, headers: list[str]) -> Answer:
        """The answer's beginning; a body that does not end is not waited for."""
        async with self._way.open() as link:
            exchange = Exchange(link)
            answer = await exchange.ask(self._request(method, path, headers))
            if answer.status not in {101, 200}:
                answer.body = await exchange.piece()
        return answer

    def _request(self, method: str, path: str, headers: list[str]) -> bytes:
        lines = [
            f"{method} {self._prefix}{path} HTTP/1.1",
            f"Host: {self._authority}",
            f"Authorization: Bearer {self._bearer.reveal()}",
            "User-Agent: kasbah-doctor",
            "Accept: application/json, */*",  # an exec is answered to whoever takes anything
            *headers,
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _review(attributes: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


def _websocket_headers(subprotocol: str) -> list[str]:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    headers = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    ]
    return [*headers, f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else headers


async def _ends_within(exchange: Exchange, seconds: float) -> bool:
    """Whether the answer's body ends before that."""
    try:
        async with asyncio.timeout(seconds):
            while await exchange.piece():
                pass
    except TimeoutError:
        return False
    return True


async def _status_of_exec(reader: asyncio.StreamReader, pod: str, first: bytes) -> Finding:
    """Read the channels until the API server says how the command ended."""
    receiver, told, data = WebSocketReceiver(unmask=None), b"", first
    with suppress(TimeoutError, WebSocketError, OSError):
        async with asyncio.timeout(_EXEC_S):
            while True:
                told += b"".join(bytes(piece) for piece in receiver.receive(data))
                if b'"status":"Success"' in told:
                    return Finding(seen=f"`true` ran in the pod {pod}")
                data = b"" if receiver.closed else await reader.read(4096)
                if not data:
                    break
    raise FaultError(
        "exec-failed",
        f"the WebSocket opens, but `true` in {pod} does not end well: {told[-200:].decode(errors='replace')!r}",
        "does the container have `true`, and does its node answer? (`kubectl exec` says more)",
    )


def _held_back() -> FaultError:
    return FaultError(
        "stream-buffered",
        f"ordinary requests are answered, but the first event of a watch does not arrive within {AT_ONCE_S:g} s",
        "something on the way collects answers until they are whole: switch that off (nginx: proxy_buffering off;)",
    )
