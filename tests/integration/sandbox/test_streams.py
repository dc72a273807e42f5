"""Streams through the API server, on both kinds of node: the same manifests, the same behaviour."""

from __future__ import annotations

import hashlib
import http.client
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

import sandbox


@pytest.fixture(scope="module")
def pods() -> dict[int, str]:
    """One pod a cluster, made at the first use."""
    return {}


@pytest.fixture
def pod(either_cluster: sandbox.Cluster, pods: dict[int, str]) -> str:
    known = pods.get(id(either_cluster))
    if known:
        return known
    name = f"streams-{uuid4().hex[:8]}"
    either_cluster.kubectl("run", name, f"--image={sandbox.IMAGE}", "--image-pull-policy=Never")
    either_cluster.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=40s")
    pods[id(either_cluster)] = name
    return name


def _kubectl(cluster: sandbox.Cluster, *arguments: str) -> subprocess.Popen[bytes]:
    command = [cluster.binary("kubectl"), f"--kubeconfig={cluster.admin_kubeconfig}", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@contextmanager
def _forwarded(cluster: sandbox.Cluster, pod: str, port: int) -> Iterator[int]:
    process = _kubectl(cluster, "port-forward", f"pod/{pod}", f":{port}")
    with process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().decode()
            found = re.search(r"127\.0\.0\.1:(\d+)", said)
            assert found is not None, said
            yield int(found[1])
        finally:
            process.kill()


def _ticks(process: subprocess.Popen[bytes], count: int) -> list[bytes]:
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


def test_exec_passes_input_output_and_the_exit_code(either_cluster: sandbox.Cluster, pod: str) -> None:
    done = either_cluster.kubectl(
        "exec", "-i", pod, "--", "sh", "-c", "tr a-z A-Z; exit 7", input="hello", check=False
    )
    assert (done.stdout, done.returncode) == ("HELLO", 7)


def test_logs_follow_as_they_grow(either_cluster: sandbox.Cluster, pod: str) -> None:
    with _kubectl(either_cluster, "logs", "-f", "--tail=1", pod) as process:
        first, second, third = _ticks(process, 3)
        process.kill()
    numbers = [int(line.removeprefix(b"tick ")) for line in (first, second, third)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_attach_streams_what_the_container_writes(either_cluster: sandbox.Cluster, pod: str) -> None:
    with _kubectl(either_cluster, "attach", pod) as process:
        lines = _ticks(process, 2)
        process.kill()
    assert all(line.startswith(b"tick ") for line in lines)


def test_a_forwarded_port_answers_http(either_cluster: sandbox.Cluster, pod: str) -> None:
    with _forwarded(either_cluster, pod, 8080) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/")
        body = connection.getresponse().read()
        connection.close()
    assert body == b"hello from a pod of the sandbox\n"


def test_a_forwarded_port_carries_bytes_both_ways(either_cluster: sandbox.Cluster, pod: str) -> None:
    with _forwarded(either_cluster, pod, 7) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"there and back")
        assert client.recv(100) == b"there and back"


def test_cp_brings_the_same_bytes_there_and_back(
    either_cluster: sandbox.Cluster, pod: str, tmp_path: Path
) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(4 << 20))
    there = f"/tmp/kasbah-cp-{uuid4().hex}"
    either_cluster.kubectl("cp", str(source), f"{pod}:{there}")
    either_cluster.kubectl("cp", f"{pod}:{there}", str(back))
    either_cluster.kubectl("exec", pod, "--", "rm", there)
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(source.read_bytes()).digest()


def test_a_terminal_has_the_size_of_ours_and_follows_its_changes(
    either_cluster: sandbox.Cluster, pod: str
) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (40, 100))
    command = [either_cluster.binary("kubectl"), f"--kubeconfig={either_cluster.admin_kubeconfig}"]
    with subprocess.Popen(
        [*command, "exec", "-it", pod, "--", "sh"], stdin=theirs, stdout=theirs, stderr=theirs
    ) as shell:
        try:
            _read_until(ours, b"# ", b"$ ")  # what is typed before the prompt may be lost
            # A size comes when it comes; the terminal's echo of these lines must not look like it.
            os.write(ours, b'until [ "$(stty size)" = "40 $((50 + 50))" ]; do sleep 0.1; done; stty size\n')
            _read_until(ours, b"40 100")
            termios.tcsetwinsize(ours, (50, 120))
            os.write(
                ours,
                b'until [ "$(stty size)" = "50 $((100 + 20))" ]; do sleep 0.1; done; stty size; exit 3\n',
            )
            # kubectl drops a size that comes while it still sends another one.
            _read_until(ours, b"50 120", meanwhile=partial(shell.send_signal, signal.SIGWINCH))
        except BaseException:
            shell.kill()  # or leaving the block would wait for ever
            raise
    os.close(ours)
    os.close(theirs)
    assert shell.returncode == 3


def _read_until(terminal: int, *wanted: bytes, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Reads what a terminal shows until one of `wanted` is there; the time limit of the test ends a vain wait.

    `meanwhile` is done at once, and then each second.
    """
    seen = b""
    while not any(text in seen for text in wanted):
        meanwhile()
        if select.select([terminal], [], [], 1)[0]:
            seen += os.read(terminal, 4096)
