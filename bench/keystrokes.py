"""How long a key's echo takes in an exec while lists are fetched and somebody does not read: with us and without."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from bench import nginx, stack, wrk
from bench.errors import BenchError
from bench.nginx import BULK
from bench.results import Goal, Report, Spread
from bench.route import Route
from kasbah.kit import loop
from sandbox.processes import Processes

LISTS: Final = 20
ADDED_P99_MS: Final = 20.0
_EXEC: Final = "/api/v1/namespaces/default/pods/web/exec?command=sh&stdin=true&tty=true"
_HANDSHAKE: Final = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"
)
_EVERY_S: Final = 0.02


def measure(processes: Processes, *, quick: bool) -> list[Report]:
    """Rounds of both ways take turns, under the same load through kas and agentk."""
    echo, _ = stack.start_stand_in(processes)
    upstream = nginx.start_upstream(processes, echo=urlsplit(echo).port)
    ours = stack.start(processes, stack.ApiServer(url=upstream.url("")), direct=upstream.url(""))
    direct = Route(name="direct", base=ours.api_server, pids=[])
    rounds, keys = (2, 100) if quick else (5, 200)
    with asyncio.Runner(loop_factory=loop.loop_factory()) as runner:
        taken = runner.run(_look_at(ours.native, direct, rounds, keys))
    report = Report(
        title="Keystrokes",
        how=f"{rounds} rounds of {keys} keys each, echoed by the far end, while {LISTS} clients fetch lists of 5 MiB "
        "through kas and agentk all the time, and one has asked for a list and reads nothing. Both ways take turns.",
        header=("route", "p50 ms", "p99 ms"),
    )
    for route in (direct, ours.native):
        p50, p99 = taken[route.name]
        report.rows.append([route.name, *(Spread.of(f).show(lambda v: f"{v:.2f}") for f in (p50, p99))])
    added = [
        ours - less for ours, less in zip(taken[ours.native.name][1], taken[direct.name][1], strict=True)
    ]
    report.goals = [
        Goal(what="a key's echo, p99 added", value=Spread.of(added), bound=ADDED_P99_MS, unit="ms")
    ]
    return [report]


async def _look_at(
    native: Route, direct: Route, rounds: int, keys: int
) -> dict[str, tuple[list[float], list[float]]]:
    taken: dict[str, tuple[list[float], list[float]]] = {native.name: ([], []), direct.name: ([], [])}
    async with _loaded(native):
        for _ in range(rounds):
            for route in (direct, native):
                cuts = statistics.quantiles(await _type(route, keys), n=100)
                taken[route.name][0].append(cuts[49])
                taken[route.name][1].append(cuts[98])
    return taken


async def _type(route: Route, keys: int) -> list[float]:
    """Milliseconds from each key to its echo."""
    reader, writer = await _ask(route, _EXEC, _HANDSHAKE)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101"):
        raise BenchError(f"exec was refused: {head[:64]!r}")
    delays = []
    for number in range(keys):
        key = b"%06d" % number
        began = time.monotonic()
        writer.write(key)
        if await reader.readexactly(len(key)) != key:
            raise BenchError("the echo is not what was typed")
        delays.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(_EVERY_S)
    writer.close()
    return delays


@asynccontextmanager
async def _loaded(route: Route) -> AsyncIterator[None]:
    """Fetch lists meanwhile, in a process of its own, and let one reader stand still."""
    _, stalled = await _ask(route, BULK)
    words = wrk.command(route.url(BULK), connections=LISTS, seconds=3600, headers=route.headers)
    lists = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.DEVNULL)
    try:
        await asyncio.sleep(0.5)
        yield
    finally:
        lists.kill()
        await lists.wait()
        stalled.close()


async def _ask(route: Route, path: str, lines: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(route.base)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(_request(route, path, lines))
    return reader, writer


def _request(route: Route, path: str, lines: str = "") -> bytes:
    address = urlsplit(route.url(path))
    query = f"?{address.query}" if address.query else ""
    own = "".join(f"{name}: {value}\r\n" for name, value in route.headers.items())
    return f"GET {address.path}{query} HTTP/1.1\r\nHost: {address.netloc}\r\n{own}{lines}\r\n".encode()
