"""Upgrades: whatever the cluster answers and whatever the client says too early, no byte goes where it should not.

Between the request and a right 101 nothing of the client reaches the agent; after anything else the connection is of no
use any more, so what stands behind it on the wire is neither tunnelled nor read as another request.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from dataclasses import dataclass
from itertools import product

import pytest

from kasbah.wire.stream import ResetCode
from tests.doubles.loopback_agent import LoopbackStream
from tests.doubles.proxy_scene import Scene, make_scene

KEY = b"MDEyMzQ1Njc4OWFiY2RlZg=="
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324
POD = b"/api/v1/namespaces/n/pods/p"
PATHS = [
    POD + b"/exec",
    POD + b"/attach",
    POD + b"/portforward",
    b"/api/v1/namespaces/n/services/s/proxy/x",
    POD + b"/log",
]
UPGRADES = {
    b"websocket": b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n",
    b"SPDY/3.1": b"Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n",
}
SMUGGLED = b"DELETE /-/kubernetes-agent/k8s-proxy/smuggled HTTP/1.1\r\nHost: kas\r\nAuthorization: Bearer pat:7:good\r\n\r\n"
EARLY = [b"", b"hello", SMUGGLED, b"x" * 70_000, b"\r\n\r\n" + SMUGGLED]
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
WEBSOCKET = SWITCH + b"Upgrade: websocket\r\nSec-WebSocket-Accept: "
ANSWERS: dict[str, bytes] = {
    "right": b"",
    "another key accepted": WEBSOCKET + b"c29tZXRoaW5nIGVsc2UgYWx0b2dldGg=\r\n\r\n",
    "no key accepted": SWITCH + b"Upgrade: websocket\r\n\r\n",
    "two keys accepted": WEBSOCKET + ACCEPT + b"\r\nSec-WebSocket-Accept: x\r\n\r\n",
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    "200 of any length": b"HTTP/1.1 200 OK\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "301": b"HTTP/1.1 301 Moved\r\nLocation: http://evil/\r\n\r\n",
    "400": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n",
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n",
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n",
    "426": b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n",
    "500": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2\r\n\r\n",
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "102 with a switch": b"HTTP/1.1 102 Processing\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "half a head": b"HTTP/1.1 101 Switching Protocols\r\nUpgra",
    "another version": b"HTTP/3.1 101 Switching Protocols\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 1010 Switching\r\n\r\n",
}
RESETS = [
    ResetCode.CANCELLED,
    ResetCode.UPSTREAM_UNREACHABLE,
    ResetCode.UPSTREAM_FAILED,
    ResetCode.INTERNAL,
    ResetCode.FORBIDDEN,
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    number: int
    upgrade: bytes
    path: bytes
    answer: str
    early: bytes

    @property
    def target(self) -> bytes:
        return self.path + b"?case=%d" % self.number

    def request(self) -> bytes:
        head = (
            b"GET /-/kubernetes-agent/k8s-proxy"
            + self.target
            + b" HTTP/1.1\r\nHost: kas\r\nConnection: Upgrade\r\n"
        )
        return head + b"Authorization: Bearer pat:7:good\r\n" + UPGRADES[self.upgrade] + b"\r\n" + self.early

    @property
    def switches(self) -> bool:
        """Without a key to prove anything with, any 101 of SPDY is right."""
        if self.upgrade == b"SPDY/3.1":
            return self.answer in {"right", "another key accepted", "no key accepted", "two keys accepted"}
        return self.answer == "right"

    def play(self, stream: LoopbackStream) -> None:
        """The cluster's part."""
        if self.answer.startswith("reset "):
            stream.say_reset(int(self.answer.removeprefix("reset ")), "on purpose")
            return
        if self.answer == "the end":
            stream.say_end()
            return
        if self.answer == "a body first":
            stream.say(b"too early")
            return
        right = (
            WEBSOCKET + ACCEPT + b"\r\n\r\n"
            if self.upgrade == b"websocket"
            else SWITCH + b"Upgrade: SPDY/3.1\r\n\r\n"
        )
        head = ANSWERS[self.answer] or right
        stream.say_head(head)
        if b"Content-Length: 2" in head:
            stream.say(b"no")
        if not self.switches:
            stream.say_end()


def scripts() -> list[Script]:
    answers = [*ANSWERS, "the end", "a body first", *(f"reset {int(code)}" for code in RESETS)]
    made = product(UPGRADES, PATHS, answers, EARLY)
    return [
        Script(number=number, upgrade=upgrade, path=path, answer=answer, early=early)
        for number, (upgrade, path, answer, early) in enumerate(made)
        if (number + len(path)) % 2 == 0 or path == PATHS[0]
    ]


async def read_all(reader: asyncio.StreamReader, seconds: float) -> bytes:
    said = b""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(seconds):
            while data := await reader.read(65536):
                said += data
    return said


class Run:
    """All scripts against one front; the streams find their scripts by the query."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.streams: dict[int, list[LoopbackStream]] = {}
        self.smuggled = 0
        scene.agent.on_stream = self.opened

    def opened(self, stream: LoopbackStream) -> None:
        line = stream.request_head.partition(b"\r\n")[0]
        if b"smuggled" in line:
            self.smuggled += 1
        else:
            self.streams.setdefault(int(line.partition(b"case=")[2].split()[0]), []).append(stream)

    async def play(self, script: Script) -> str:
        reader, writer = await asyncio.open_connection(*self.scene.server.addresses[0])
        try:
            writer.write(script.request())
            async with asyncio.timeout(5):
                while script.number not in self.streams:  # noqa: ASYNC110 - the double has no event for each
                    await asyncio.sleep(0.002)
            stream = self.streams[script.number][0]
            await asyncio.sleep(0.01)
            assert stream.body == b"", "said before the cluster agreed"
            script.play(stream)
            if script.switches:
                return await self._switched(script, stream, reader)
            said = await read_all(reader, 3)
            assert reader.at_eof(), "the connection goes on after a refused upgrade"
            assert not said.startswith(b"HTTP/1.1 101")
            assert all(each.body == b"" for each in self.streams[script.number])
            return said[9:12].decode() or "closed"
        finally:
            writer.transport.abort()

    async def _switched(self, script: Script, stream: LoopbackStream, reader: asyncio.StreamReader) -> str:
        async with asyncio.timeout(5):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            while len(stream.body) < len(script.early):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.002)
        assert stream.body == script.early
        return "101"


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_nothing_passes_but_behind_the_right_101(tally):
    played = scripts()
    assert len(played) >= 500
    async with make_scene() as scene:
        run, turns = Run(scene), asyncio.Semaphore(16)

        async def one(script: Script) -> None:
            async with turns:
                try:
                    tally(await run.play(script))
                except AssertionError as error:
                    raise AssertionError(f"{script}: {error}") from error

        async with asyncio.TaskGroup() as tasks:
            for script in played:
                tasks.create_task(one(script))
        assert run.smuggled == 0
