"""A kubectl request: the first walk of ARCHITECTURE.md, with the real kubectl, on both kinds of node."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import ssl
import struct
import subprocess
import termios
import time
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

import sandbox
from tests.e2e.kubectl import MIB, copy_there_and_back, deployment, forward_a_port, run_pod, running
from tests.e2e.world import World


@pytest.fixture(scope="module")
def pods() -> dict[int, str]:
    """One pod a world, made at the first use."""
    return {}


@pytest.fixture
def pod(either_world: World, pods: dict[int, str]) -> str:
    if id(either_world) not in pods:
        pods[id(either_world)] = run_pod(either_world)
    return pods[id(either_world)]


def test_get_shows_the_nodes(either_world: World):
    assert "Ready" in either_world.kubectl("get", "nodes").stdout


def test_a_watch_sees_what_server_side_apply_makes(either_world: World):
    name = f"web-{uuid4().hex[:8]}"
    with running(
        either_world, "get", "deployments", "-w", "--no-headers", f"--field-selector=metadata.name={name}"
    ) as watch:
        assert watch.stdout is not None
        either_world.kubectl("apply", "--server-side", "-f", "-", stdin=deployment(name))
        seen: list[str] = []
        deadline = time.monotonic() + 40
        while not any(" 1/1 " in line for line in seen):
            assert select.select([watch.stdout], [], [], max(0, deadline - time.monotonic()))[0], seen
            seen.append(watch.stdout.readline().decode())
    assert " 0/1 " in seen[0]
    either_world.kubectl("delete", "deployment", name)


def test_exec_passes_input_output_and_the_exit_code(either_world: World, pod: str):
    done = either_world.kubectl(
        "exec", "-i", pod, "--", "sh", "-c", "tr a-z A-Z; exit 7", stdin="hello", check=False
    )
    assert (done.stdout, done.returncode) == ("HELLO", 7)


def _read_until(fd: int, words: str, timeout_s: float = 20) -> str:
    seen, deadline = "", time.monotonic() + timeout_s
    while words not in seen:
        assert select.select([fd], [], [], max(0, deadline - time.monotonic()))[0], (
            f"no {words!r} in {seen!r}"
        )
        seen += os.read(fd, 4096).decode(errors="replace")
    return seen


def test_exec_gives_a_terminal_that_can_be_resized(either_world: World, pod: str):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    with running(either_world, "exec", "-it", pod, "--", "sh", **terminal) as process:
        os.close(theirs)
        os.write(ours, b"sleep 0.5; stty size; echo first-$?\n")
        _read_until(ours, "30 100")
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        process.send_signal(signal.SIGWINCH)  # a terminal of its own session would say so by itself
        deadline = time.monotonic() + 20
        while "40 120" not in _answer(ours, b"stty size; echo done-$?\n", "done-0\r\n"):
            assert time.monotonic() < deadline
    os.close(ours)


def _answer(fd: int, typed: bytes, until: str) -> str:
    os.write(fd, typed)
    return _read_until(fd, until)


@pytest.mark.parametrize("disable", ["", "KUBECTL_REMOTE_COMMAND_WEBSOCKETS"], ids=["websocket", "spdy"])
def test_exec_streams_over_both_protocols(either_world: World, pod: str, disable: str):
    environment = either_world.environment | ({disable: "false"} if disable else {})
    done = subprocess.run(
        either_world.kubectl_argv("exec", "-i", pod, "--", "cat"),
        input=b"x" * MIB,
        stdout=subprocess.PIPE,
        env=environment,
        timeout=50,
        check=True,
    )
    assert done.stdout == b"x" * MIB


def test_attach_streams_what_the_container_writes(either_world: World, pod: str):
    with running(either_world, "attach", pod) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
    assert all(line.startswith(b"tick ") for line in lines)


def test_logs_follow_as_they_grow(either_world: World, pod: str):
    with running(either_world, "logs", "-f", "--tail=1", pod) as process:
        assert process.stdout is not None
        numbers = [int(process.stdout.readline().removeprefix(b"tick ")) for _ in range(3)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


@pytest.mark.timeout(180)
def test_cp_brings_64_mib_there_and_back(either_world: World, pod: str, tmp_path: Path):
    copy_there_and_back(either_world, pod, 64 * MIB, tmp_path)


@pytest.mark.parametrize("disable", ["", "KUBECTL_PORT_FORWARD_WEBSOCKETS"], ids=["websocket", "spdy"])
def test_a_forwarded_port_answers(either_world: World, pod: str, disable: str):
    environment = either_world.environment | ({disable: "false"} if disable else {})
    forward_a_port(either_world, pod, environment)


READS = [
    *(
        "/version",
        "/api",
        "/apis",
        "/openapi/v2",
        "/openapi/v3",
        "/healthz?verbose",
        "/readyz",
        "/livez",
        "/metrics/none",
    ),
    *(
        f"/api/v1/{collection}{query}"
        for collection in (
            "namespaces",
            "nodes",
            "namespaces/default/services",
            "namespaces/kube-system/configmaps",
            "serviceaccounts",
        )
        for query in ("", "?limit=1", "?labelSelector=a%3Db", "?resourceVersion=0", "?pretty=true")
    ),
    *(
        f"/apis/{group}"
        for group in ("apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1", "coordination.k8s.io/v1")
    ),
    *(
        f"/apis/rbac.authorization.k8s.io/v1/clusterroles{query}"
        for query in ("", "/view", "/none", "?limit=3", "?fieldSelector=metadata.name%3Dedit")
    ),
    *(f"/api/v1/namespaces/{name}" for name in ("default", "kube-system", "none", "kube-public")),
    *("/apis/none.example/v1", "/api/v1/none", "/api/v1/namespaces/default/pods/none/log"),
]
ACCEPTS = [
    "application/json",
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    "application/vnd.kubernetes.protobuf",
]


def _fetch(client: httpx2.Client, url: str, token: str, accept: str) -> tuple[int, str, bytes]:
    headers = {"Authorization": f"Bearer {token}", "Accept": accept, "Accept-Encoding": "identity"}
    answer = client.get(url, headers=headers)
    return answer.status_code, answer.headers["Content-Type"], answer.content


def _admin_token(cluster: sandbox.Cluster) -> str:
    config = cluster.kubectl("config", "view", "--raw", "-o", "json").stdout
    return str(json.loads(config)["users"][0]["user"]["token"])


def test_fifty_reads_are_answered_byte_for_byte_as_by_the_api_server(either_world: World):
    assert len(READS) >= 50
    cluster = either_world.cluster
    admin = _admin_token(cluster)
    trust = ssl.create_default_context(cafile=cluster.ca_file)
    with httpx2.Client(verify=trust, trust_env=False, timeout=30) as direct, either_world.client() as proxied:
        for index, path in enumerate(READS):
            accept = ACCEPTS[index % len(ACCEPTS)]
            for _ in range(5):  # objects change by themselves: leases, node status
                expected = _fetch(direct, cluster.api_server + path, admin, accept)
                answered = _fetch(proxied, either_world.proxy + path, either_world.bearer, accept)
                if answered == expected:
                    break
            assert answered == expected, path
