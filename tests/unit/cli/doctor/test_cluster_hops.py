from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from kasbah.cli.doctor import cluster_hops
from kasbah.cli.doctor.cluster_hops import BODY_BYTES, ClusterHops
from kasbah.kit.doctor import runner
from kasbah.kit.doctor.check import Check, Report, Result
from kasbah.kit.secrets import Secret
from tests.doubles.answering_way import AnsweringWay, Respond

pytestmark = pytest.mark.asyncio
NOT_FOUND = json.dumps({"kind": "Status", "message": "pods not found", "code": 404}).encode()
UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
SUCCESS = b'\x03{"metadata":{},"status":"Success"}'


class Deaf:
    def begins(self, _: Check) -> None: ...

    def ended(self, _: Result) -> None: ...


def answer(status: int, body: bytes, kind: bytes = b"application/json") -> list[bytes]:
    head = b"HTTP/1.1 %d x\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
    return [head + body]


def well(request: bytes) -> list[bytes]:
    """What a whole way answers."""
    path = request.split(b" ", 2)[1]
    if path.endswith(b"/version"):
        return answer(200, b'{"gitVersion": "v1.36.0"}')
    if path.endswith(b"selfsubjectreviews"):
        return answer(201, b'{"status": {"userInfo": {"username": "mia", "groups": ["ops"]}}}')
    if path.endswith(b"selfsubjectaccessreviews"):
        return answer(201, b'{"status": {"allowed": true}}')
    if b"pods/web-0/exec" in path and b"websocket" in request:
        return [UPGRADED % b"websocket" + bytes([0x82, len(SUCCESS)]) + SUCCESS]
    if b"pods/web-0/exec" in path:
        return [UPGRADED % b"SPDY/3.1"]
    if b"/exec" in path:
        return answer(404, NOT_FOUND)
    if b"Upgrade: websocket" in request:
        return answer(403, b"")
    return [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"]


def instead(part: bytes, said: list[bytes]) -> Respond:
    return lambda request: said if part in request else well(request)


async def looked(respond: Respond = well, *, pod: str = "", watch_s: float = 0.01) -> dict[str, Result]:
    async def obtain() -> Secret:
        return Secret("pat:1:glpat-x")

    url = urlsplit("https://kas.example/k8s-proxy/")
    hops = ClusterHops(AnsweringWay(respond), url, obtain, namespace="ops", pod=pod, watch_s=watch_s)
    report: Report = await runner.examine(hops.checks(), Deaf())
    return {result.name: result for result in report.results}


async def test_a_whole_way_has_no_faults():
    results = await looked()
    assert {name: result.fault for name, result in results.items() if result.fault} == {}
    assert results["cluster.identity"].seen == "you are mia (groups: ops)"
    assert "glpat-x" not in str(results)


async def test_with_a_pod_the_command_really_runs():
    results = await looked(pod="web-0")
    assert results["stream.exec"].seen == "`true` ran in the pod web-0"
    assert "passes for the pod web-0" in results["stream.spdy"].seen


@pytest.mark.parametrize(
    ("part", "said", "hop", "fault"),
    [
        (b"/version", answer(502, b"<html>"), "cluster.version", "http-gateway"),
        (b"selfsubjectaccess", answer(201, b'{"status": {}}'), "cluster.pods", "rbac-list-pods"),
        (b"Upgrade: websocket", answer(200, b"{}"), "stream.websocket", "http-upgrade-dropped"),
        (b"pods/kasbah-doctor", answer(403, b"<html>", b"text/html"), "stream.exec", "http-not-let-in"),
        (b"SPDY/3.1", answer(400, b"<html>", b"text/html"), "stream.spdy", "http-foreign-answer"),
        (b"sendInitialEvents", [*answer(200, b"{}")], "stream.watch", "stream-cut"),
        (b" " * 1000, answer(413, b"<html>", b"text/html"), "stream.body", "http-body-too-large"),
    ],
)
async def test_each_kind_of_traffic_can_fail_alone(part: bytes, said: list[bytes], hop: str, fault: str):
    results = await looked(instead(part, said), watch_s=0.2)
    first = next(result for result in results.values() if result.fault)
    assert (first.name, first.fault) == (hop, fault)


async def test_an_upgrade_that_is_dropped_is_told_by_a_real_exec_too():
    refusal = json.dumps({"kind": "Status", "message": "Upgrade request required", "code": 400}).encode()
    results = await looked(instead(b"web-0", answer(400, refusal)), pod="web-0")
    assert results["stream.exec"].fault == results["stream.spdy"].fault == "http-upgrade-dropped"


async def test_a_command_that_does_not_end_well_is_told():
    failed = b'\x03{"status":"Failure","message":"no such file"}'
    broken = [UPGRADED % b"websocket" + bytes([0x82, len(failed)]) + failed, b""]
    results = await looked(instead(b"Upgrade: websocket", broken), pod="web-0")
    assert results["stream.exec"].fault == "exec-failed"
    assert "no such file" in results["stream.exec"].seen


async def test_who_may_not_watch_is_not_alarmed():
    forbidden = json.dumps({"kind": "Status", "message": "forbidden", "code": 403}).encode()
    results = await looked(instead(b"configmaps", answer(403, forbidden)))
    assert "not tried" in results["stream.watch"].seen
    assert "not tried" in results["stream.websocket"].seen


async def test_an_answer_that_is_held_back_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_hops, "AT_ONCE_S", 0.01)
    assert (await looked(instead(b"sendInitialEvents", [])))["stream.watch"].fault == "stream-buffered"


async def test_the_body_is_larger_than_what_proxies_allow_by_themselves():
    sizes: list[int] = []

    def respond(request: bytes) -> list[bytes]:
        sizes.append(len(request))
        return well(request)

    await looked(respond)
    assert max(sizes) > BODY_BYTES > 1 << 20
