"""Where one request ends and the next begins: nginx is asked, too, and kas never sees more than nginx does.

Each case is written as it stands on a connection of its own, to kas' front and to an nginx before a plain server. What
got behind each is compared: the same requests with the same bodies, or fewer because kas refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kasbah.wire.kubernetes_api import split_stamp
from sandbox import ports
from tests.doubles.loopback_agent import LoopbackStream
from tests.doubles.loopback_server import serving
from tests.doubles.nginx import nginx
from tests.doubles.proxy_scene import make_scene

HEAD = b"Host: kas\r\nAuthorization: Bearer pat:7:good\r\n"
AT_ONCE = 24
"""Connections at a time: both fronts count those that have proved nothing."""
_CASE = re.compile(rb"/c(\d+)/")


def smuggled(number: bytes = b"%N") -> bytes:
    return b"GET /k/c" + number + b"/smuggled HTTP/1.1\r\n" + HEAD + b"\r\n"


def post(framing: bytes, body: bytes, *, version: bytes = b"1.1", head: bytes = HEAD) -> bytes:
    return b"POST /k/c%N/first HTTP/" + version + b"\r\n" + head + framing + b"\r\n" + body


LENGTHS = [
    b"5", b"5, 5", b"+5", b"-5", b"0x5", b"5;", b"05", b"005", b"", b" ", b"5 5", b"5.0", b"5e0", b"5\x00", b"\x0b5", b"5\x0c",
    b"99999999999999999999", b"18446744073709551621", b"5,", b",5", b"5, 6", b"five", b"\xef\xbc\x95", b"5\t", b"\t5",
]  # fmt: skip
ENCODINGS = [
    b"chunked", b"Chunked", b"CHUNKED", b"chunked, chunked", b"identity", b"gzip, chunked", b"chunked, gzip", b"xchunked",
    b"chunked;q=1", b"\x0bchunked", b"chunked\x00", b"chunked,", b",chunked", b"chunked, identity", b"", b"identity, chunked",
    b"chunked\x0c", b'"chunked"', b"chunked x", b"deflate", b"\tchunked", b"chunked \t",
]  # fmt: skip
NAMES = [
    b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked", b"\tTransfer-Encoding: chunked", b"Transfer_Encoding: chunked",
    b"Transfer-Encoding\x00: chunked", b"Transfer-Encoding\t: chunked", b"X: a\nTransfer-Encoding: chunked",
    b"X: a\rTransfer-Encoding: chunked", b"X: a\r\n Transfer-Encoding: chunked", b"Transfer-Encoding:\r\n chunked",
    b"Transfer-Encoding:\n chunked", b"transfer-encoding:chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"Content-Length : 5", b"Content_Length: 5", b" Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 0", b"Content-Length: 0\r\nContent-Length: 5", b"Content-Length: 5\r\ncontent-length: 50",
]  # fmt: skip
CHUNKS = [
    b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b'5;a="b"\r\nhello\r\n0\r\n\r\n', b"5;\r\nhello\r\n0\r\n\r\n",
    b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"5;a\rb\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"5\r\nhello0\r\n\r\n",
    b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"5\r\nhello\r\n0\n\n", b"5\r\nhello\r\n00\r\n\r\n",
    b"5\r\nhello\r\n000000000000000000\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\nhello", b"FFFFFFFFFFFFFFFF\r\nhello", b"\r\nhello\r\n0\r\n\r\n",
    b"g\r\nhello\r\n0\r\n\r\n", b"5,\r\nhello\r\n0\r\n\r\n", b"5\x00\r\nhello\r\n0\r\n\r\n", b"05\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nImpersonate-User: admin\r\n\r\n", b"5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n",
    b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\nA: b\r\nHost: x\r\n\r\n",
    b"5\r\nhello\r\n0\r\n folded\r\n\r\n", b"5\r\nhello\r\n0\r\nno colon\r\n\r\n", b"0\r\n\r\n", b"0\r\n", b"0\r\n\r", b"5\r\nhel",
    b"5;" + b"a" * 9000 + b"\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0;a=b\r\n\r\n", b"A\r\nhellohello\r\n0\r\n\r\n",
    b"a\r\nhellohello\r\n0\r\n\r\n", b"5\t\r\nhello\r\n0\r\n\r\n", b"5\r\n\r\nhel\r\n0\r\n\r\n", b"1\r\n\n\r\n0\r\n\r\n",
]  # fmt: skip
RIGHT_THOUGH_NGINX_REFUSES = (b"Content-Length: 5\t", b"Content-Length: \t5", b"Transfer-Encoding: \tchunked")
"""A tab is white space around a value (RFC 9110, 5.6.3), and there is one way to read it."""
GET = b"GET /k/c%N/first HTTP/1.1\r\n"
HEADS = [
    GET + HEAD + b"\r\n", GET.replace(b"\r\n", b"\n") + HEAD.replace(b"\r\n", b"\n") + b"\n", GET.replace(b"\r\n", b"\r") + HEAD + b"\r\n",
    b"\r\n" + GET + HEAD + b"\r\n", b"\r\n\r\n\r\n" + GET + HEAD + b"\r\n", b"\n" + GET + HEAD + b"\r\n", b" " + GET + HEAD + b"\r\n",
    GET + b"\r\n" + HEAD + b"\r\n", GET + HEAD + b"Bad\x00Name: a\r\n\r\n", GET + HEAD + b"A: b\x00c\r\n\r\n", GET + HEAD + b": empty\r\n\r\n",
    GET + HEAD + b"A b: c\r\n\r\n", GET + HEAD + b"A : c\r\n\r\n", GET + HEAD + b"no colon\r\n\r\n", GET + HEAD + b"A: b\r\n c\r\n\r\n",
    GET + HEAD + b"A: b\r\n\tc\r\n\r\n", GET + HEAD + b"A: b\rc\r\n\r\n", GET + HEAD + b"A: b\nX: c\r\n\r\n", GET + HEAD + b"Host: other\r\n\r\n",
    GET + b"Authorization: Bearer pat:7:good\r\n\r\n", GET + b"Host:\r\nAuthorization: Bearer pat:7:good\r\n\r\n",
    GET + HEAD.replace(b"kas", b"kas, other") + b"\r\n", GET + HEAD.replace(b"kas", b"kas:80:80") + b"\r\n",
    GET + HEAD.replace(b"kas", b"k as") + b"\r\n", GET + HEAD.replace(b"kas", b"kas/x") + b"\r\n", GET + HEAD.replace(b"kas", b"a@kas") + b"\r\n",
    GET.replace(b"GET /", b"GET http://kas/") + HEAD + b"\r\n", GET.replace(b"GET /", b"GET http://other/") + HEAD + b"\r\n",
    GET.replace(b"GET /", b"GET  /") + HEAD + b"\r\n", GET.replace(b"GET /", b"GET\t/") + HEAD + b"\r\n", GET.replace(b" HTTP", b"  HTTP") + HEAD + b"\r\n",
    GET.replace(b" HTTP", b"\tHTTP") + HEAD + b"\r\n", GET.replace(b"first", b"first#x") + HEAD + b"\r\n", GET.replace(b"first", b"fi rst") + HEAD + b"\r\n",
    GET.replace(b"first", b"fi\x00rst") + HEAD + b"\r\n", GET.replace(b"first", b"fi\x7frst") + HEAD + b"\r\n", GET.replace(b"first", b"fi\xffrst") + HEAD + b"\r\n",
    GET.replace(b"1.1", b"1.0") + HEAD + b"\r\n", GET.replace(b"1.1", b"1.2") + HEAD + b"\r\n", GET.replace(b"1.1", b"2.0") + HEAD + b"\r\n",
    GET.replace(b"1.1", b"0.9") + HEAD + b"\r\n", GET.replace(b"1.1", b"1.10") + HEAD + b"\r\n", GET.replace(b"1.1", b"11") + HEAD + b"\r\n",
    GET.replace(b"HTTP/1.1", b"http/1.1") + HEAD + b"\r\n", GET.replace(b"HTTP/1.1", b"ICE/1.1") + HEAD + b"\r\n", GET.replace(b" HTTP/1.1", b"") + HEAD + b"\r\n",
    GET.replace(b"GET", b"get") + HEAD + b"\r\n", GET.replace(b"GET", b"FOO") + HEAD + b"\r\n", GET.replace(b"GET", b"G\x00T") + HEAD + b"\r\n",
    GET.replace(b"GET", b"CONNECT") + HEAD + b"\r\n", GET.replace(b"GET", b"TRACE") + HEAD + b"\r\n", GET.replace(b"GET", b"PRI") + HEAD + b"\r\n",
    GET + HEAD + b"Connection: close\r\n\r\n", GET + HEAD + b"Connection: keep-alive, close\r\n\r\n", GET + HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    GET + HEAD + b"Expect: 100-continue\r\n\r\n", GET + HEAD + b"Expect: something\r\n\r\n", GET + HEAD + b"A: " + b"b" * 70000 + b"\r\n\r\n",
    GET + HEAD + b"A: b\r\n" * 120 + b"\r\n", GET + HEAD + b"\xffA: b\r\n\r\n", GET + HEAD + b"A\xff: b\r\n\r\n", GET + HEAD + b"A: b\xff\r\n\r\n",
]  # fmt: skip


def cases() -> list[bytes]:
    """What is written; `%N` stands for the case's number, and behind most stands a request that must not be hidden in it."""
    chunked = b"5\r\nhello\r\n0\r\n\r\n"
    found = [post(b"Content-Length: " + each + b"\r\n", b"hello") for each in LENGTHS]
    found += [post(b"Content-Length: " + each + b"\r\n", b"hello", version=b"1.0") for each in LENGTHS[:4]]
    found += [post(b"Transfer-Encoding: " + each + b"\r\n", chunked) for each in ENCODINGS]
    found += [
        post(b"Transfer-Encoding: " + each + b"\r\n", chunked, version=b"1.0") for each in ENCODINGS[:4]
    ]
    for each in ENCODINGS[:12]:
        encoded = b"Transfer-Encoding: " + each + b"\r\n"
        found += [
            post(b"Content-Length: 5\r\n" + encoded, chunked),
            post(encoded + b"Content-Length: 5\r\n", chunked),
        ]
        found.append(post(b"Content-Length: %d\r\n" % len(chunked) + encoded, chunked))
    found += [post(each + b"\r\n", chunked) for each in NAMES]
    found += [post(each + b"\r\nContent-Length: %d\r\n" % len(chunked), chunked) for each in NAMES[:15]]
    found += [post(b"Transfer-Encoding: chunked\r\n", each) for each in CHUNKS]
    found += HEADS
    found += [
        each.replace(b"GET", b"POST", 1).replace(HEAD, HEAD + b"Content-Length: 0\r\n") for each in HEADS[:25]
    ]
    return [each + smuggled() for each in found] + found[: len(HEADS)]


@dataclass
class Reached:
    """What got behind a front, by the number of its case."""

    by_case: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, line: bytes, body: bytes) -> None:
        if (found := _CASE.search(line)) is not None:
            self.by_case[int(found[1])].append((line, body))


async def write_all(port: int) -> None:
    """Each case on a connection of its own, until the other side closes or says nothing more."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def write(number: int, case: bytes) -> None:
        async with turns:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with contextlib.suppress(OSError, TimeoutError):
                writer.write(case.replace(b"%N", b"%d" % number))
                async with asyncio.timeout(0.4):
                    while await reader.read(65536):
                        pass
            writer.transport.abort()

    async with asyncio.TaskGroup() as tasks:
        for number, case in enumerate(cases()):
            tasks.create_task(write(number, case))


async def behind_kas() -> Reached:
    reached = Reached()
    waiting: set[asyncio.Task[None]] = set()

    async def answer(stream: LoopbackStream) -> None:
        while not stream.request_ended and stream.reset_with is None:  # noqa: ASYNC110 - the double has no event
            await asyncio.sleep(0.005)
        if stream.request_ended:
            line = split_stamp(stream.request_head)[0].partition(b"\r\n")[0]
            reached.add(line, stream.body)
            stream.answer()

    def begin(stream: LoopbackStream) -> None:
        task = asyncio.get_running_loop().create_task(answer(stream))
        waiting.add(task)

    async with make_scene(prefix=b"/k/") as scene:
        scene.agent.on_stream = begin
        await write_all(scene.server.addresses[0][1])
        for task in waiting:
            task.cancel()
    return reached


async def behind_nginx(directory: Path) -> Reached:
    reached = Reached()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"\r\nContent-Length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                reached.add(head.partition(b"\r\n")[0].replace(b"/k/", b"/", 1), body)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    (port,) = ports.free(1)
    async with serving(speak) as server:
        http = (
            f"upstream api {{ server 127.0.0.1:{server.port}; keepalive 8; }}\n"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://api; proxy_http_version 1.1;"
            ' proxy_set_header Connection ""; } }'
        )
        with nginx(directory, port, http):
            await write_all(port)
    return reached


@pytest.mark.asyncio
async def test_kas_never_sees_a_request_that_nginx_does_not(tmp_path, tally):
    ours, theirs = await behind_kas(), await behind_nginx(tmp_path)
    numbered = dict(enumerate(cases()))
    assert len(numbered) >= 200
    assert len(ours.by_case) >= 30  # it is not that nothing passes
    strange = []
    for number, case in numbered.items():
        here, there = ours.by_case[number], theirs.by_case[number]
        if any(line in case for line in RIGHT_THOUGH_NGINX_REFUSES):
            tally("right, though nginx refuses it")
            continue
        if here != there[: len(here)]:
            strange.append(f"{case!r}\n  kas:   {here}\n  nginx: {there}")
        tally("seen alike" if here == there else "refused by kas where nginx passes it on")
    assert not strange, "\n".join(strange)
