"""Streams into pods: exec, attach, logs, cp, port-forward, over WebSocket and over SPDY; and the proxies of the API server."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sandbox
from tests.e2e.conformance import backend
from tests.e2e.conformance.behaviour import ALL, Behaviour, Seen, behaviour, headers, plain, seen
from tests.e2e.conformance.clusterwide import until
from tests.e2e.conformance.side import Side
from tests.e2e.conformance.with_kubectl import CURRENT, OLDER, kubectl, tell

POD = {
    "metadata": {"name": "pod"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": sandbox.IMAGE, "imagePullPolicy": "Never"}],
    },
}
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
WEBSOCKET = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "true", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"}
WAYS: dict[str, tuple[str, Mapping[str, str]]] = {
    "over a WebSocket": (CURRENT, WEBSOCKET),
    "over SPDY": (CURRENT, SPDY),
    f"as {OLDER} likes it": (OLDER, {}),
}


def _pod(side: Side) -> None:
    """A pod that is ready."""
    path = side.within("pods")
    ready = b'"type":"Ready","status":"True"'
    until(lambda: side.get(side.within("serviceaccounts", "default")), lambda answer: answer.status == 200)
    side.make(path, POD)
    until(
        lambda: side.get(path + "/pod"),
        lambda a: b'"phase":"Running"' in a.body and (ready in a.body or b'"Ready"' in a.body),
    )


class Shell:
    """kubectl of one version over one protocol, in the namespace with the pod."""

    def __init__(self, side: Side, way: str) -> None:
        self.side = side
        self.program, self._protocol = WAYS[way]
        _pod(side)

    def run(self, *arguments: str, stdin: str | bytes = b"") -> Seen:
        options = ["--namespace", self.side.namespace, *arguments]
        return tell(self.side.run(self.program, options, stdin=stdin, environment=self._protocol), self.side)

    @contextmanager
    def open(self, *arguments: str, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
        """In the background; killed at the end."""
        command = [str(self.side.door.binaries[self.program]), "--namespace", self.side.namespace, *arguments]
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
        with subprocess.Popen(command, env=self.side.environment(self._protocol), **how) as process:
            try:
                yield process
            finally:
                process.kill()


def _on_all_ways(name: str, **how: Any) -> Any:
    """Enters a behaviour of a shell for each version and protocol."""

    def enter(do: Any) -> Any:
        for way in WAYS:

            def run(side: Side, way: str = way) -> Seen:
                return do(Shell(side, way))

            grpc = how.get("grpc", False) and way == "over a WebSocket"
            ALL.append(Behaviour(name=f"{name}, {way}", do=run, grpc=grpc))
        return do

    return enter


def _sh(text: str) -> list[str]:
    return ["pod", "--", "sh", "-c", text]


@_on_all_ways("exec: output, errors and the exit code apart", grpc=True)
def _exec(shell: Shell) -> Seen:
    return shell.run("exec", *_sh("echo out; echo err >&2; exit 42"))


@_on_all_ways("exec: standard input to its end, then more output", grpc=True)
def _stdin(shell: Shell) -> Seen:
    return shell.run("exec", "-i", *_sh("wc -c; echo after the end"), stdin=b"x" * 300_000)


@_on_all_ways("exec: what cannot be run")
def _exec_missing(shell: Shell) -> Seen:
    code, out, err = shell.run("exec", "pod", "--", "/no/such/program")
    return code != 0, out, bool(err)


@_on_all_ways("exec: in a container that is not")
def _exec_no_container(shell: Shell) -> Seen:
    return shell.run("exec", "-c", "other", *_sh("true")), shell.run("exec", "none", "--", "true")


@_on_all_ways("exec: binary bytes both ways")
def _binary(shell: Shell) -> Seen:
    data = bytes(range(256)) * 2000
    with shell.open("exec", "-i", "pod", "--", "cat", stdin=subprocess.PIPE) as process:
        out, _ = process.communicate(data, timeout=40)
    return hashlib.sha256(out).hexdigest() == hashlib.sha256(data).hexdigest(), process.returncode


@_on_all_ways("exec: a terminal of a certain size")
def _terminal(shell: Shell) -> Seen:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    with shell.open("exec", "-it", "pod", "--", "sh", **terminal):
        os.close(theirs)
        text, deadline = b"", time.monotonic() + 25
        while b"33 101" not in text:  # the size arrives on a channel of its own
            assert time.monotonic() < deadline, text
            os.write(ours, b"stty size; echo the-$?\n")
            text = _read_until(ours, b"the-0")
    os.close(ours)
    return sorted(set(re.findall(rb"33 101|the-0", text)))  # where the prompt falls among them is chance


def _read_until(fd: int, words: bytes) -> bytes:
    text, deadline = b"", time.monotonic() + 25
    while words not in text:
        assert select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0], text
        try:
            text += os.read(fd, 4096)
        except OSError as error:  # the terminal is gone
            raise AssertionError(text) from error
    return text


@_on_all_ways("attach: what the container writes", grpc=True)
def _attach(shell: Shell) -> Seen:
    with shell.open("attach", "pod") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
    return [re.sub(rb"\d+", b"<n>", line) for line in lines]


@_on_all_ways("cp: there and back")
def _cp(shell: Shell) -> Seen:
    directory = shell.side.door.home / shell.side.namespace / "cp"
    directory.mkdir(parents=True)
    data = os.urandom(700_000)
    (directory / "there").write_bytes(data)
    path = f"/tmp/{shell.side.namespace}-{shell.program}"
    told = [
        shell.run("cp", str(directory / "there"), f"pod:{path}"),
        shell.run("cp", f"pod:{path}", str(directory / "back")),
        shell.run("exec", "pod", "--", "rm", path)[0],
    ]
    return [one if isinstance(one, int) else one[0] for one in told], (
        directory / "back"
    ).read_bytes() == data


@_on_all_ways("port-forward: a page, three times", grpc=True)
def _forward(shell: Shell) -> Seen:
    with shell.open("port-forward", "pod/pod", ":8080") as process:
        assert process.stdout is not None
        found = re.search(rb":(\d+) ->", process.stdout.readline())
        assert found is not None, process.stderr and process.stderr.read()
        pages = []
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
            connection.request("GET", "/")
            pages.append(connection.getresponse().read())
            connection.close()
    return pages


@_on_all_ways("port-forward: to a pod that is not")
def _forward_nowhere(shell: Shell) -> Seen:
    return shell.run("port-forward", "pod/none", ":80")


# -- logs ------------------------------------------------------------------------------------------------------------


def _ticks(text: str) -> str:
    return re.sub(r"tick \d+", "tick <n>", text)


LOGS = {
    "the last line": ["--tail=1"],
    "with times": ["--tail=1", "--timestamps"],
    "of the last second": ["--since=0s", "--tail=0"],
    "so many bytes": ["--limit-bytes=5"],
    "of the one before": ["--previous", "--tail=1"],
    "of another container": ["-c", "other"],
    "since a time": ["--since-time=2026-01-01T00:00:00Z", "--tail=2"],
    "of all containers with a prefix": ["--all-containers", "--prefix", "--tail=1"],
}


def _enter_logs() -> None:
    for name, options in LOGS.items():
        for program in (CURRENT, OLDER) if name == "the last line" else (CURRENT,):

            def do(side: Side, options: list[str] = options, program: str = program) -> Seen:
                _pod(side)
                code, out, err = tell(kubectl(side, program, "logs", "pod", *options), side)
                return code, _ticks(out), err

            ALL.append(Behaviour(name=f"{program} logs: {name}", do=do))


_enter_logs()


@behaviour("logs: followed as they grow", grpc=True)
def _follow(side: Side) -> Seen:
    shell = Shell(side, "over a WebSocket")
    with shell.open("logs", "-f", "--tail=1", "pod") as process:
        assert process.stdout is not None
        numbers = [int(process.stdout.readline().removeprefix(b"tick ")) for _ in range(3)]
    return [number - numbers[0] for number in numbers]


@behaviour("logs: the head of their answer", grpc=True)
def _logs_head(side: Side) -> Seen:
    _pod(side)
    answer = side.get(side.within("pods", "pod") + "/log?tailLines=1", accept="text/plain, */*")
    return answer.status, headers(answer), answer.framing, _ticks(answer.body.decode())


@behaviour("exec: a plain GET without an upgrade is a 400", grpc=True)
def _no_upgrade(side: Side) -> Seen:
    _pod(side)
    return seen(side.get(side.within("pods", "pod") + "/exec?command=true&stdout=true"), side)


@behaviour("exec: refused by its parameters")
def _no_command(side: Side) -> Seen:
    _pod(side)
    return seen(side.post(side.within("pods", "pod") + "/exec", ""), side)


def _websocket_head(protocols: str) -> list[tuple[str, str]]:
    return [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", protocols),
    ]


@behaviour("exec: the subprotocol is agreed upon", grpc=True)
def _subprotocol(side: Side) -> Seen:
    _pod(side)
    path = side.within("pods", "pod") + "/exec?command=true&stdout=true"
    told = []
    for protocols in (
        "v5.channel.k8s.io, v4.channel.k8s.io",
        "v4.channel.k8s.io",
        "channel.k8s.io",
        "none.example",
    ):
        with side.open() as connection:
            connection.send(side.head("GET", path, _websocket_head(protocols)))
            status, _, found = connection.head()
            agreed = {name.lower(): value for name, value in found}
            told.append((status, agreed.get("sec-websocket-protocol"), agreed.get("sec-websocket-accept")))
    return told


@behaviour("exec: frames of v5.channel.k8s.io, byte for byte", grpc=True)
def _frames(side: Side) -> Seen:
    _pod(side)
    path = side.within("pods", "pod") + "/exec?command=sh&command=-c&command=echo+out%3B+exit+3&stdout=true"
    with side.open() as connection:
        connection.send(side.head("GET", path, _websocket_head("v5.channel.k8s.io")))
        assert connection.head()[0] == 101
        data = b""
        while b"ExitCode" not in data and (more := connection.read_some()):
            data += more
    return data.partition(b"\x82")[0], b"\x01out\n" in data, b'"message":"3"' in data


# -- what the API server passes on -----------------------------------------------------------------------------------


@behaviour("proxy: to a node", who="agent")
def _node_proxy(side: Side) -> Seen:
    return seen(side.get("/api/v1/nodes/kwok-node/proxy/healthz", accept="*/*"), side)


def _exposed(side: Side) -> str:
    """A service whose one endpoint is a server of the test; the path of its proxy."""
    address, port = backend.address()
    ports = [{"name": "http", "port": port}]
    side.make(side.within("services"), {"metadata": {"name": "s"}, "spec": {"ports": ports}})
    pod = _stand_in(side, address)
    subset = {"addresses": [{"ip": address, "targetRef": pod}], "ports": ports}
    side.make(side.within("endpoints"), {"metadata": {"name": "s"}, "subsets": [subset]})
    return side.within("services", "s:http") + "/proxy"


def _stand_in(side: Side, address: str) -> dict[str, str]:
    """A pod that no node has, but with an address: the API server passes on to pods alone."""
    pod = {
        "metadata": {"name": "far"},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "i"}]},
    }
    side.make(side.within("pods"), pod)
    status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
    given = side.patch(side.within("pods", "far") + "/status", status)
    assert given.status == 200, given
    return {"kind": "Pod", "name": "far", "namespace": side.namespace}


@behaviour("proxy: to a pod by its port", grpc=True)
def _pod_proxy(side: Side) -> Seen:
    address, port = backend.address()
    _stand_in(side, address)
    answer = side.get(side.within("pods", f"far:{port}") + "/proxy/echo/x?y=1", accept="*/*")
    return answer.status, answer.body, answer.framing


@behaviour("proxy: to a service, with every method", grpc=True)
def _service_proxy(side: Side) -> Seen:
    path = _exposed(side) + "/echo/a%20b?x=1&y=%C3%BC"
    told = []
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        body = None if method == "GET" else b'{"some":"body"}'
        answer = side.request(method, path, body)
        told.append((answer.status, plain(answer.body, side), answer.values("Content-Type")))
    return told


@behaviour("proxy: a service's answer in pieces")
def _service_stream(side: Side) -> Seen:
    path = _exposed(side) + "/pieces"
    answer = side.get(path)
    return answer.status, answer.framing, answer.body


def _own_headers_only(direct: Seen, through: Seen) -> bool:
    dropped = {"Set-Cookie", "X-Custom", "Server", "Www-Authenticate"}
    return (
        dropped <= set(direct[1])
        and not dropped & set(through[1])
        and direct[0] == through[0]
        and direct[2] == through[2]
    )


@behaviour(
    "proxy: headers of a service's own", difference="other-headers-of-services", stated=_own_headers_only
)
def _service_headers(side: Side) -> Seen:
    path = _exposed(side) + "/headers"
    answer = side.get(path, headers=[("X-Custom", "up"), ("Cookie", "a=b")])
    return answer.status, headers(answer), answer.body[:5]


@behaviour(
    "proxy: a service that redirects",
    difference="redirects",
    stated=lambda direct, through: (direct[0], through[0]) == (302, 502) and "redirect" in through[1],
)
def _service_redirect(side: Side) -> Seen:
    path = _exposed(side)
    answer = side.get(path + "/redirect")
    return answer.status, answer.body.decode()


@behaviour("proxy: a service without endpoints", grpc=True)
def _service_nobody(side: Side) -> Seen:
    side.make(side.within("services"), {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    return seen(side.get(side.within("services", "s") + "/proxy/"), side)
