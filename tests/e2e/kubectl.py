"""What people do with kubectl, as steps for tests of one way through Kasbah or another."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import sandbox
from tests.e2e.world import World

MIB = 1 << 20


@contextmanager
def running(world: World, *arguments: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """kubectl in the background; killed at the end."""
    with subprocess.Popen(
        world.kubectl_argv(*arguments),
        stdin=options.pop("stdin", subprocess.PIPE),
        stdout=options.pop("stdout", subprocess.PIPE),
        env=options.pop("env", world.environment),
        **options,  # type: ignore[call-overload]
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_pod(world: World | sandbox.Cluster) -> str:
    """A pod that says `tick N` and serves a page on port 8080, once it is ready; its name."""
    name = f"e2e-{uuid4().hex[:8]}"
    world.kubectl("run", name, f"--image={sandbox.IMAGE}", "--image-pull-policy=Never")
    world.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=40s")
    return name


def deployment(name: str) -> str:
    """A deployment of one such pod, as a file."""
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


def config_map(name: str, **data: str) -> str:
    """One, as a file."""
    metadata = {"name": name, "namespace": "default"}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def read_line(process: subprocess.Popen[bytes], timeout_s: float = 10) -> str:
    """The next line it writes; not for pipes that somebody reads in another way."""
    assert process.stdout is not None
    line = b""
    deadline = time.monotonic() + timeout_s
    while not line.endswith(b"\n"):
        left = max(0.0, deadline - time.monotonic())
        assert select.select([process.stdout], [], [], left)[0], f"{line!r} and no more in {timeout_s} s"
        byte = os.read(process.stdout.fileno(), 1)
        assert byte, f"it ended after {line!r}"
        line += byte
    return line.decode()


def copy_there_and_back(world: World, pod: str, size: int, directory: Path) -> None:
    """`kubectl cp` of so many random bytes to the pod and home again."""
    source, back = directory / "source", directory / "back"
    source.write_bytes(os.urandom(size))
    there = f"/tmp/kasbah-cp-{uuid4().hex}"
    world.kubectl("cp", "--retries=0", str(source), f"{pod}:{there}", timeout_s=80)
    world.kubectl("cp", "--retries=0", f"{pod}:{there}", str(back), timeout_s=80)
    world.kubectl("exec", pod, "--", "rm", there)
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(source.read_bytes()).digest()


def forward_a_port(world: World, pod: str, environment: dict[str, str] | None = None) -> None:
    """`kubectl port-forward`, and three requests through it."""
    with running(
        world, "port-forward", f"pod/{pod}", ":8080", env=environment or world.environment
    ) as process:
        said = read_line(process)
        found = re.search(r"127\.0\.0\.1:(\d+)", said)
        assert found is not None, said
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"hello from a pod of the sandbox\n"
            connection.close()
