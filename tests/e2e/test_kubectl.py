"""A kubectl request: the first walk of ARCHITECTURE.md, with the real kubectl, on both kinds of node."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import pty
import re
import select
import signal
import ssl
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

import sandbox
from tests.e2e.world import World

MIB = 1 << 20


@pytest.fixture(scope="module")
def pods() -> dict[int, str]:
    """One pod a world, made at the first use."""
    return {}


@pytest.fixture
def pod(either_world: World, pods: dict[int, str]) -> str:
    name = pods.get(id(either_world))
    if name is None:
        name = pods[id(either_world)] = f"e2e-{uuid4().hex[:8]}"
        either_world.kubectl("run", name, f"--image={sandbox.IMAGE}", "--image-pull-policy=Never")
        either_world.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=40s")
    return name


@contextmanager
def running(world: World, *arguments: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """kubectl in the background; killed at the end."""
    with subprocess.Popen(
        world.kubectl_argv(*arguments),
        stdin=options.pop("stdin", subprocess.PIPE),
        stdout=options.pop("stdout", subprocess.PIPE),
        env=world.environment,
        **options,  # type: ignore[call-overload]
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_get_shows_the_nodes(either_world: World):
    assert "Ready" in either_world.kubectl("get", "nodes").stdout


def deployment(name: str) -> str:
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "containers": [{"name": "c", "image": sandbox.IMAGE, "imagePullPolicy": "Never"}],
                        "terminationGracePeriodSeconds": 0,
                    },
                },
            },
        }
    )


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
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(64 * MIB))
    there = f"/tmp/kasbah-cp-{uuid4().hex}"
    either_world.kubectl("cp", "--retries=0", str(source), f"{pod}:{there}", timeout_s=80)
    either_world.kubectl("cp", "--retries=0", f"{pod}:{there}", str(back), timeout_s=80)
    either_world.kubectl("exec", pod, "--", "rm", there)
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(source.read_bytes()).digest()


@pytest.mark.parametrize("disable", ["", "KUBECTL_PORT_FORWARD_WEBSOCKETS"], ids=["websocket", "spdy"])
def test_a_forwarded_port_answers(either_world: World, pod: str, disable: str):
    environment = either_world.environment | ({disable: "false"} if disable else {})
    with subprocess.Popen(
        either_world.kubectl_argv("port-forward", f"pod/{pod}", ":8080"),
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().decode()
        found = re.search(r"127\.0\.0\.1:(\d+)", said)
        assert found is not None, said
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"hello from a pod of the sandbox\n"
            connection.close()
        process.kill()


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
