"""Both doctors before a matrix of seeded faults: each is named by its hop and its name; and on clean ways, silence."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import sandbox
from tests.e2e.between import (
    GOOD,
    PATIENT,
    UNBUFFERED,
    UPGRADE,
    Issuer,
    Nginx,
    Server,
    black_hole,
    connect_proxy,
    greeting,
    rewriting,
    saying,
)
from tests.e2e.kubectl import run_pod
from tests.e2e.world import Program, World, free_port, wait_for, world

pytestmark = pytest.mark.cluster
_log = logging.getLogger(__name__)

PAGE = b"HTTP/1.1 200 OK\r\nServer: shop\r\nContent-Type: text/html\r\nContent-Length: 37\r\n\r\n"
PAGE += b"<html><title>Welcome</title>hi</html>"
AGENTS = "/-/kubernetes-agent/"
PROXY = "/-/kubernetes-agent/k8s-proxy/"


@dataclass
class Ground:
    """The world, and what stands around it while one doctor looks."""

    world: World
    directory: Path
    stack: ExitStack = field(default_factory=ExitStack)
    counts: dict[str, int] = field(
        default_factory=lambda: {"faults": 0, "named": 0, "clean": 0, "false alarms": 0}
    )

    # What stands in between

    def nginx(self, server: str, *, certificate: Path | None = None, host: str = "127.0.0.1") -> int:
        return self.stack.enter_context(
            Nginx(self.directory, server, certificate=certificate, host=host).running()
        )

    def serve(self, server: Server) -> int:
        return self.stack.enter_context(server.running())

    def behind(self, *settings: str, path: str = "/") -> str:
        """A location of nginx before the plain port of `kasbah up`."""
        upstream = f"proxy_pass http://127.0.0.1:{self.world.ports['http']};"
        host = "proxy_set_header Host $http_host;"
        return f"location {path} {{ {upstream} {host} {' '.join(settings)} }}"

    @property
    def own_certificate(self) -> Path:
        """The one of `kasbah up` with its key, for a server that is to be trusted like it."""
        path = self.directory / "own.pem"
        if not path.exists():
            data = self.world.data
            path.write_bytes((data / "tls.crt").read_bytes() + (data / "tls.key").read_bytes())
        return path

    # The doctors

    def agentk(
        self, address: str, *flags: str, known_by: str = "agent-token", **environment: str
    ) -> dict[str, Any]:
        """What `agentk doctor` reports."""
        token = () if any(flag.startswith("--token-file") for flag in flags) else (known_by,)
        kubeconfig = (
            () if any(f.startswith("--kubeconfig") for f in flags) else (self.world.cluster.admin_kubeconfig,)
        )
        argv = [
            *(sys.executable, "-m", "kasbah.agentk", "doctor", "-o", "json"),
            *([f"--kas-address={address}"] if address else []),
            *(f"--token-file={self.world.directory / name}" for name in token),
            *(f"--kubeconfig={path}" for path in kubeconfig),
            *flags,
        ]
        return self._report(argv, environment)

    def kasbah(self, *arguments: str, token: str = "", url: str = "", **environment: str) -> dict[str, Any]:
        """What `kasbah doctor` reports, logged in as root unless another token is given."""
        surroundings = {
            "KASBAH_URL": url or self.world.https,
            "KASBAH_TOKEN": token or self.world.root_token,
            "KASBAH_CA_FILE": str(self.world.ca_file),
        } | environment
        argv = [sys.executable, "-m", "kasbah.cli", "doctor", "--output", "json", *arguments]
        return self._report(argv, {name: value for name, value in surroundings.items() if value})

    def _report(self, argv: list[str], environment: dict[str, str]) -> dict[str, Any]:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=self.world.environment | environment,
            timeout=50,
            check=False,
        )
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if report["well"] else 1), done.stderr
        for secret in self._secrets():
            assert secret not in done.stdout + done.stderr
        return report

    def _secrets(self) -> list[str]:
        tokens = [path.read_text().strip() for path in self.world.directory.glob("*token*") if path.is_file()]
        return [self.world.root_token, self.world.user_token, "s3cret-of-the-proxy", *tokens]

    @property
    def plain(self) -> str:
        return f"ws://127.0.0.1:{self.world.ports['http']}{AGENTS}"

    @property
    def secure(self) -> str:
        return f"wss://127.0.0.1:{self.world.ports['https']}{AGENTS}"

    @property
    def trusting(self) -> str:
        return f"--kas-ca-cert-file={self.world.ca_file}"


@pytest.fixture(scope="module")
def ground(control_plane: sandbox.Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    directory = tmp_path_factory.mktemp("doctor")
    with world(tmp_path_factory.mktemp("world"), control_plane, "--hostname", "kas.test") as made:
        ground = Ground(made, directory)
        yield ground
    counts = ground.counts
    _log.info(
        "doctors: %d of %d seeded faults named, %d false alarms on %d clean ways",
        *(counts[name] for name in ("named", "faults", "false alarms", "clean")),
    )


@pytest.fixture(autouse=True)
def _cleared(ground: Ground) -> Iterator[None]:
    with ground.stack:
        yield
    ground.stack = ExitStack()


Seed = Callable[[Ground], dict[str, Any]]


def problems(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The hops that are not well, with the name of each fault or warning."""
    return [(c["name"], c["fault"]) for c in report["checks"] if c["result"] in {"fault", "warning"}]


def examine(ground: Ground, seed: Seed, hop: str, *names: str) -> None:
    ground.counts["faults"] += 1
    found = problems(seed(ground))
    assert found, "the fault was not seen"
    assert found[0][0] == hop, found
    assert found[0][1] in names, found
    ground.counts["named"] += 1


# -- agentk's side ---------------------------------------------------------------------------------------------------


def expired(g: Ground) -> dict[str, Any]:
    issuer, day = Issuer.make("Example CA"), dt.timedelta(days=1)
    certificate = issuer.write(g.directory / "expired.pem", "127.0.0.1", life=day, age=3 * day)
    return through_tls(g, issuer, certificate)


def not_yet_valid(g: Ground) -> dict[str, Any]:
    issuer = Issuer.make("Example CA")
    certificate = issuer.write(g.directory / "early.pem", "127.0.0.1", age=-dt.timedelta(days=2))
    return through_tls(g, issuer, certificate)


def wrong_name(g: Ground) -> dict[str, Any]:
    issuer = Issuer.make("Example CA")
    return through_tls(g, issuer, issuer.write(g.directory / "other.pem", "other.example"))


def about_to_expire(g: Ground) -> dict[str, Any]:
    issuer, day = Issuer.make("Example CA"), dt.timedelta(days=1)
    certificate = issuer.write(g.directory / "soon.pem", "127.0.0.1", life=90 * day, age=88 * day)
    return through_tls(g, issuer, certificate)


def through_tls(g: Ground, issuer: Issuer, certificate: Path) -> dict[str, Any]:
    authority = issuer.write_own(g.directory / "example-ca.pem")
    port = g.nginx(g.behind(GOOD), certificate=certificate)
    return g.agentk(f"wss://127.0.0.1:{port}{AGENTS}", f"--kas-ca-cert-file={authority}")


def inspected(g: Ground) -> dict[str, Any]:
    certificate = Issuer.make("Example Corp TLS Inspection CA").write(g.directory / "corp.pem", "127.0.0.1")
    port = g.nginx(g.behind(GOOD), certificate=certificate)
    return g.agentk(f"wss://127.0.0.1:{port}{AGENTS}", g.trusting)


def inspected_by_the_proxy(g: Ground) -> dict[str, Any]:
    certificate = Issuer.make("Example Root 7").write(g.directory / "root7.pem", "kas.test")
    port = g.nginx(g.behind(GOOD), certificate=certificate)
    return through_proxy(g, connect_proxy(), port)


def through_proxy(g: Ground, proxy: Server, port: int = 0, credentials: str = "") -> dict[str, Any]:
    variable = f"http://{credentials}127.0.0.1:{g.serve(proxy)}"
    address = f"wss://kas.test:{port or g.world.ports['https']}{AGENTS}"
    return g.agentk(address, g.trusting, HTTPS_PROXY=variable)


def through_nginx(g: Ground, server: str, *flags: str) -> dict[str, Any]:
    return g.agentk(f"ws://127.0.0.1:{g.nginx(server)}{AGENTS}", *flags)


def without_token(g: Ground, address: str, *flags: str) -> dict[str, Any]:
    (g.world.directory / "unknown-token").write_text("glagent-" + "x" * 50)
    return g.agentk(address, *flags, known_by="unknown-token")


def revoked(g: Ground) -> dict[str, Any]:
    g.world.revoke_token(g.world.agent_id, g.world.new_token(g.world.agent_id, "revoked-token"))
    return g.agentk(g.plain, known_by="revoked-token")


def faked_date(g: Ground) -> dict[str, Any]:
    def change(data: bytes) -> bytes:
        lines = data.split(b"\r\n")
        return b"\r\n".join(
            b"Date: Sat, 01 Jan 2022 00:00:00 GMT" if line.startswith(b"Date:") else line for line in lines
        )

    port = g.serve(rewriting(g.world.ports["http"], change))
    return g.agentk(f"ws://127.0.0.1:{port}{AGENTS}")


def other_version(g: Ground) -> dict[str, Any]:
    port = g.serve(rewriting(g.world.ports["http"], lambda d: d.replace(b"kasbah-kas/0.", b"kasbah-kas/9.")))
    return g.agentk(f"ws://127.0.0.1:{port}{AGENTS}")


def cut_after_the_handshake(g: Ground) -> dict[str, Any]:
    """A proxy that takes the handshake and carries nothing after it: browsers call that 1006."""

    def change(data: bytes) -> bytes:
        if not data.startswith(b"HTTP/1.1"):
            raise OSError("no more")
        return data

    port = g.serve(rewriting(g.world.ports["http"], change))
    return g.agentk(f"ws://127.0.0.1:{port}{AGENTS}")


def kubeconfig_with(g: Ground, name: str, **cluster: str) -> str:
    """The administrator's, with another cluster."""
    admin = g.world.cluster.kubectl(
        "config", "view", "--raw", "-o", "json", f"--kubeconfig={g.world.cluster.admin_kubeconfig}"
    )
    config = json.loads(admin.stdout)
    for entry in config["clusters"]:
        entry["cluster"] |= cluster
    path = g.directory / f"{name}.json"
    path.write_text(json.dumps(config))
    return f"--kubeconfig={path}"


def api_server_with_another_authority(g: Ground) -> dict[str, Any]:
    authority = Issuer.make("Another cluster's CA").write_own(g.directory / "another-ca.pem")
    flag = kubeconfig_with(g, "authority")
    return g.agentk(g.plain, flag, f"--certificate-authority={authority}")


def unknown_to_the_api_server(g: Ground) -> dict[str, Any]:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": g.world.cluster.api_server,
                    "certificate-authority": str(g.world.cluster.ca_file),
                },
            }
        ],
        "users": [{"name": "u", "user": {"token": "no-such-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = g.directory / "unknown.json"
    path.write_text(json.dumps(config))
    return g.agentk(g.plain, f"--kubeconfig={path}")


def restricted(g: Ground) -> dict[str, Any]:
    user = "system:serviceaccount:kasbah:agentk"
    groups = ["system:serviceaccounts", "system:authenticated"]
    return g.agentk(g.plain, f"--kubeconfig={g.world.cluster.kubeconfig_for(user, groups)}")


AGENTK_FAULTS: dict[str, tuple[Seed, str, tuple[str, ...]]] = {
    "a scheme that is none": (
        lambda g: g.agentk("https://kas.example"),
        "kas.address",
        ("address-unusable",),
    ),
    "no address": (lambda g: g.agentk(""), "kas.address", ("address-unusable",)),
    "no token file": (
        lambda g: g.agentk(g.plain, "--token-file=/nonexistent/token"),
        "settings",
        ("settings-unusable",),
    ),
    "a proxy that is none": (
        lambda g: g.agentk("wss://kas.test", g.trusting, HTTPS_PROXY="socks5://127.0.0.1:1"),
        "settings",
        ("settings-unusable",),
    ),
    "a name that does not exist": (
        lambda g: g.agentk("wss://no-such-host.invalid/"),
        "kas.dns",
        ("dns-no-such-name", "dns-no-answer"),
    ),
    "a port where nobody listens": (
        lambda g: g.agentk(f"ws://127.0.0.1:{free_port()}/"),
        "kas.tcp",
        ("tcp-refused",),
    ),
    "a black hole": (
        lambda g: g.agentk(f"ws://127.0.0.1:{g.stack.enter_context(black_hole())}/"),
        "kas.tcp",
        ("tcp-no-answer",),
    ),
    "IPv6, where kas listens on IPv4 alone": (
        lambda g: g.agentk(f"ws://[::1]:{g.world.ports['http']}{AGENTS}"),
        "kas.tcp",
        ("tcp-refused", "tcp-no-route"),
    ),
    "ws:// to a port with TLS": (
        lambda g: g.agentk(g.secure.replace("wss", "ws")),
        "kas.websocket",
        ("http-needs-tls",),
    ),
    "ws:// to nginx with TLS": (
        lambda g: g.agentk(
            f"ws://127.0.0.1:{g.nginx(g.behind(GOOD), certificate=g.own_certificate)}{AGENTS}"
        ),
        "kas.websocket",
        ("http-needs-tls",),
    ),
    "wss:// to a port without TLS": (
        lambda g: g.agentk(g.plain.replace("ws", "wss")),
        "kas.tls",
        ("tls-not-tls",),
    ),
    "an authority that nobody told it of": (
        lambda g: g.agentk(g.secure),
        "kas.tls",
        ("tls-unknown-authority",),
    ),
    "a file with another authority": (
        lambda g: g.agentk(
            g.secure, f"--kas-ca-cert-file={Issuer.make('Another CA').write_own(g.directory / 'a.pem')}"
        ),
        "kas.tls",
        ("tls-unknown-authority",),
    ),
    "an expired certificate": (expired, "kas.tls", ("tls-expired",)),
    "a certificate of tomorrow": (not_yet_valid, "kas.tls", ("tls-not-yet-valid",)),
    "a certificate for another name": (wrong_name, "kas.tls", ("tls-wrong-name",)),
    "a certificate that expires soon": (about_to_expire, "kas.tls", ("tls-expires-soon",)),
    "verification switched off": (
        lambda g: g.agentk(g.secure, "--kas-insecure-skip-tls-verify"),
        "kas.tls",
        ("tls-not-verified",),
    ),
    "a firewall that opens TLS": (inspected, "kas.tls", ("tls-intercepted",)),
    "a proxy that opens TLS": (inspected_by_the_proxy, "kas.tls", ("tls-intercepted",)),
    "gRPC to a web server": (
        lambda g: g.agentk(
            f"grpcs://127.0.0.1:{g.nginx(g.behind(GOOD), certificate=g.own_certificate)}", g.trusting
        ),
        "kas.tls",
        ("tls-no-http2", "tls-failed"),
    ),
    "a proxy that is not there": (
        lambda g: g.agentk("wss://kas.test/", HTTPS_PROXY=f"http://127.0.0.1:{free_port()}"),
        "kas.tcp",
        ("tcp-refused",),
    ),
    "a proxy that refuses": (
        lambda g: through_proxy(g, connect_proxy(b"403 Forbidden")),
        "kas.connect",
        ("proxy-refuses",),
    ),
    "a proxy that wants a password": (
        lambda g: through_proxy(g, connect_proxy(credentials=b"bWlhOnMzY3JldA==")),
        "kas.connect",
        ("proxy-wants-password",),
    ),
    "a proxy that wants another password": (
        lambda g: through_proxy(
            g, connect_proxy(credentials=b"bWlhOnMzY3JldA=="), credentials="mia:s3cret-of-the-proxy@"
        ),
        "kas.connect",
        ("proxy-wrong-password",),
    ),
    "a proxy without a way": (
        lambda g: through_proxy(g, connect_proxy(b"502 Bad Gateway")),
        "kas.connect",
        ("proxy-no-way",),
    ),
    "a proxy that is no HTTP proxy": (
        lambda g: through_proxy(g, greeting(b"220 mail.example ESMTP\r\n")),
        "kas.connect",
        ("proxy-no-answer",),
    ),
    "nginx without upgrade headers": (
        lambda g: through_nginx(g, g.behind(PATIENT, UNBUFFERED)),
        "kas.websocket",
        ("http-upgrade-dropped",),
    ),
    "a redirect to the slash": (
        lambda g: g.agentk(
            f"ws://127.0.0.1:{g.nginx(f'location = {AGENTS[:-1]} {{ return 301 {AGENTS}; }}')}{AGENTS[:-1]}"
        ),
        "kas.websocket",
        ("http-missing-slash",),
    ),
    "a redirect to TLS": (
        lambda g: through_nginx(g, "return 301 https://127.0.0.1$request_uri;"),
        "kas.websocket",
        ("http-redirect-to-tls",),
    ),
    "a redirect to a login page": (
        lambda g: through_nginx(g, "return 302 https://login.example/start;"),
        "kas.websocket",
        ("http-redirect",),
    ),
    "a wrong path": (
        lambda g: g.agentk(f"ws://127.0.0.1:{g.world.ports['http']}/agents/"),
        "kas.websocket",
        ("http-wrong-path",),
    ),
    "the address where people ask": (
        lambda g: g.agentk(f"ws://127.0.0.1:{g.world.ports['http']}{PROXY}"),
        "kas.websocket",
        ("http-wrong-path",),
    ),
    "a server without kas": (
        lambda g: through_nginx(g, "return 404;"),
        "kas.websocket",
        ("http-wrong-path",),
    ),
    "a page for people": (
        lambda g: g.agentk(f"ws://127.0.0.1:{g.serve(saying(PAGE))}{AGENTS}"),
        "kas.websocket",
        ("http-web-page",),
    ),
    "a gate with a login": (lambda g: through_nginx(g, "return 401;"), "kas.websocket", ("http-not-let-in",)),
    "nginx before a kas that is away": (
        lambda g: through_nginx(g, f"location / {{ proxy_pass http://127.0.0.1:{free_port()}; }}"),
        "kas.websocket",
        ("http-gateway",),
    ),
    "a server of another kind": (
        lambda g: g.agentk(
            f"ws://127.0.0.1:{g.serve(greeting(b'SSH-2.0-OpenSSH_9.2p1' + bytes([13, 10])))}/"
        ),
        "kas.websocket",
        ("http-not-http",),
    ),
    "a server that hangs up": (
        lambda g: g.agentk(f"ws://127.0.0.1:{g.serve(saying(b''))}/"),
        "kas.websocket",
        ("http-closed",),
    ),
    "nginx that drops the subprotocol": (
        lambda g: through_nginx(g, g.behind(GOOD, "proxy_hide_header Sec-WebSocket-Protocol;")),
        "kas.websocket",
        ("websocket-no-subprotocol",),
    ),
    "a proxy that carries nothing after the handshake": (
        cut_after_the_handshake,
        "kas.token",
        ("tunnel-broken",),
    ),
    "nginx that cuts what is silent": (
        lambda g: through_nginx(
            g, g.behind(UPGRADE, UNBUFFERED, "proxy_read_timeout 2s; proxy_send_timeout 2s;"), "--idle=6s"
        ),
        "kas.idle",
        ("tunnel-cut",),
    ),
    "a faked Date": (faked_date, "kas.clock", ("clock-skew",)),
    "a kas of another version": (other_version, "kas.version", ("version-differs",)),
    "a wrong token": (lambda g: without_token(g, g.plain), "kas.token", ("token-unknown",)),
    "a wrong token over gRPC": (
        lambda g: without_token(g, f"grpc://127.0.0.1:{g.world.ports['grpc']}"),
        "kas.token",
        ("token-unknown",),
    ),
    "a revoked token": (revoked, "kas.token", ("token-unknown",)),
    "an API server that is away": (
        lambda g: g.agentk(g.plain, kubeconfig_with(g, "away", server=f"https://127.0.0.1:{free_port()}")),
        "cluster.tcp",
        ("tcp-refused",),
    ),
    "an API server of another authority": (
        api_server_with_another_authority,
        "cluster.tls",
        ("tls-unknown-authority",),
    ),
    "a credential that the API server does not know": (
        unknown_to_the_api_server,
        "cluster.version",
        ("cluster-credential",),
    ),
    "an agent without rights": (restricted, "cluster.impersonate", ("rbac-impersonate",)),
}


@pytest.mark.parametrize("fault", AGENTK_FAULTS)
def test_agentk_doctor_names_the_fault(ground: Ground, fault: str):
    examine(ground, AGENTK_FAULTS[fault][0], AGENTK_FAULTS[fault][1], *AGENTK_FAULTS[fault][2])


def test_the_manifest_that_is_printed_gives_the_rights(ground: Ground):
    ground.counts["faults"] += 1
    report = restricted(ground)
    assert problems(report) == [
        ("cluster.impersonate", "rbac-impersonate"),
        ("cluster.leases", "rbac-leases"),
    ]
    ground.counts["named"] += 1
    manifests = ["\n".join(check["details"]) for check in report["checks"] if check["details"]]
    file = ground.directory / "rights.yaml"
    file.write_text("\n---\n".join(manifests))
    kubectl = ground.world.cluster.kubectl
    try:
        kubectl("apply", "-f", str(file))
        wait_for(lambda: not problems(restricted(ground)))
    finally:
        kubectl("delete", "-f", str(file))


CLEAN_AGENTK: dict[str, Seed] = {
    "ws": lambda g: g.agentk(g.plain),
    "wss": lambda g: g.agentk(g.secure, g.trusting),
    "grpc": lambda g: g.agentk(f"grpc://127.0.0.1:{g.world.ports['grpc']}"),
    "grpcs": lambda g: g.agentk(f"grpcs://127.0.0.1:{g.world.ports['https']}", g.trusting),
    "ws with gRPC inside": lambda g: g.agentk(g.plain, "--kas-tunnel=grpc"),
    "wss with gRPC inside": lambda g: g.agentk(g.secure, g.trusting, "--kas-tunnel=grpc"),
    "behind nginx": lambda g: through_nginx(g, g.behind(GOOD), "--idle=3s"),
    "behind nginx with TLS": lambda g: g.agentk(
        f"wss://127.0.0.1:{g.nginx(g.behind(GOOD), certificate=g.own_certificate)}{AGENTS}", g.trusting
    ),
    "behind nginx on IPv6": lambda g: g.agentk(f"ws://[::1]:{g.nginx(g.behind(GOOD), host='::1')}{AGENTS}"),
    "through a proxy": lambda g: through_proxy(g, connect_proxy()),
    "through a proxy with a password": lambda g: through_proxy(
        g,
        connect_proxy(credentials=b"bWlhOnMzY3JldC1vZi10aGUtcHJveHk="),
        credentials="mia:s3cret-of-the-proxy@",
    ),
}


@pytest.mark.parametrize("way", CLEAN_AGENTK)
def test_agentk_doctor_is_silent_on_a_clean_way(ground: Ground, way: str):
    silent(ground, CLEAN_AGENTK[way])


def silent(ground: Ground, seed: Seed) -> None:
    ground.counts["clean"] += 1
    report = seed(ground)
    ground.counts["false alarms"] += len(problems(report))
    assert problems(report) == []
    assert report["well"]
    assert all(check["result"] == "ok" for check in report["checks"])


# -- a person's side -------------------------------------------------------------------------------------------------

WAY = ("prod", "--project=ops/fleet", "--watch=1s")


def front(g: Ground, kas: str, **options: Any) -> str:
    """The URL of an nginx before hub and kas, by whose name the hub's metadata call kas; `kas` is what happens there."""
    nginx = Nginx(
        g.directory,
        g.behind(
            f"sub_filter_types application/json; sub_filter_once off; proxy_set_header Accept-Encoding ''; "
            f"sub_filter 127.0.0.1:{g.world.ports['https']} $http_host;",
            path="/api/",
        )
        + kas,
        certificate=options.get("certificate", g.own_certificate),
    )
    return f"https://127.0.0.1:{g.stack.enter_context(nginx.running())}"


def in_front(g: Ground, kas: str, *flags: str) -> dict[str, Any]:
    return g.kasbah(*(flags or ("--watch=1s",)), "prod", "--project=ops/fleet", url=front(g, kas))


def token_with(g: Ground, *scopes: str, **fields: str) -> tuple[int, str]:
    body: dict[str, object] = {"name": "doctor", "scopes": list(scopes), **fields}
    made: Any = g.world.rest("POST", "/users/1/personal_access_tokens", body, expect=201)
    return made["id"], made["token"]


def revoked_person(g: Ground) -> dict[str, Any]:
    number, token = token_with(g, "api")
    g.world.rest("DELETE", f"/personal_access_tokens/{number}", expect=204)
    return g.kasbah(token=token)


def expired_person(g: Ground) -> dict[str, Any]:
    yesterday = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).date().isoformat()
    return g.kasbah(token=token_with(g, "api", expires_at=yesterday)[1])


def soon_expired_person(g: Ground) -> dict[str, Any]:
    tomorrow = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).date().isoformat()
    return g.kasbah(token=token_with(g, "api", expires_at=tomorrow)[1])


def agent(g: Ground, name: str, configuration: str = "") -> int:
    """An agent of the project with its configuration; made once."""
    agents: Any = g.world.rest("GET", "/projects/ops%2Ffleet/cluster_agents")
    known = {found["name"]: int(found["id"]) for found in agents}
    if name in known:
        return known[name]
    number = g.world.register(name)
    if configuration:
        g.world.push_configuration(configuration, name)
    return number


def is_shared(g: Ground, number: int) -> bool:
    """Whether kas has read the agent's configuration, which it does when agentk connects."""
    bearer = f"Bearer pat:{number}:{g.world.user_token}"
    with g.world.client() as client:
        return client.get(f"{g.world.proxy}/version", headers={"Authorization": bearer}).status_code != 401


@contextlib.contextmanager
def agentk(g: Ground, name: str, configuration: str, *flags: str) -> Iterator[None]:
    """An agentk of that agent, connected."""
    number = agent(g, name, configuration)
    g.world.new_token(number, f"{name}-token")
    program: Program = g.world.new_agentk(f"agentk-{name}", free_port(), *flags, known_by=f"{name}-token")
    if flags:  # theirs is another cluster
        program.argv = [a for a in program.argv if not a.startswith("--kubeconfig=") or a in flags]
    program.start()
    try:
        wait_for(lambda: is_shared(g, number), told=program.tail)
        yield
    finally:
        program.kill()


def cluster_away(g: Ground) -> dict[str, Any]:
    flag = kubeconfig_with(g, "away-too", server=f"https://127.0.0.1:{free_port()}")
    g.stack.enter_context(agentk(g, "lonely", g.world.configuration, flag))
    return g.kasbah("lonely", "--project=ops/fleet")


def may_not_impersonate(g: Ground) -> dict[str, Any]:
    configuration = "user_access:\n  access_as: {user: {}}\n  projects: [{id: ops/fleet}]\n"
    flag = f"--kubeconfig={g.world.cluster.kubeconfig_for('limited', [])}"
    g.stack.enter_context(agentk(g, "limited", configuration, flag))
    return g.kasbah("limited", "--project=ops/fleet")


def not_connected(g: Ground) -> dict[str, Any]:
    with agentk(g, "asleep", g.world.configuration):
        pass
    return g.kasbah("asleep", "--project=ops/fleet")


def no_right_to_list_pods(g: Ground) -> dict[str, Any]:
    flag = f"--kubeconfig={g.world.cluster.kubeconfig_for('plain', ['system:authenticated'])}"
    g.stack.enter_context(agentk(g, "plain", g.world.configuration, flag))
    return g.kasbah("plain", "--project=ops/fleet", "--watch=1s")


def another_api_server(g: Ground) -> dict[str, Any]:
    place = (
        f"location {PROXY} {{ rewrite ^{PROXY}(.*)$ /$1 break; proxy_pass {g.world.cluster.api_server}; }}"
    )
    return in_front(g, place)


def with_a_command(g: Ground, *arguments: str, **environment: str) -> str:
    """What a command of ours says that root types."""
    surroundings = {
        "KASBAH_URL": g.world.https,
        "KASBAH_TOKEN_FILE": str(g.world.data / "root-token"),
        "KASBAH_CA_FILE": str(g.world.ca_file),
    } | environment
    done = subprocess.run(
        [sys.executable, "-m", "kasbah.cli", *arguments],
        env=g.world.environment | surroundings,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout


def by_context(g: Ground, path: Path, name: str, **environment: str) -> dict[str, Any]:
    """With nothing but a kubeconfig."""
    nobody = {"KASBAH_URL": "", "KASBAH_TOKEN": "", "KASBAH_CA_FILE": ""}
    flags = (f"--context={name}", "--watch=1s")
    return g.kasbah(*flags, KUBECONFIG=str(path), **nobody | environment)


def in_a_job(g: Ground, change: Callable[[str], str] = lambda text: text) -> dict[str, Any]:
    """With the KUBECONFIG that is made for a job."""
    path = g.directory / "job-kubeconfig"
    path.unlink(missing_ok=True)
    with_a_command(g, "job-token", "create", "--project=ops/fleet", "--ref=main", f"--kubeconfig-out={path}")
    path.write_text(change(path.read_text()))
    return by_context(g, path, "ops/fleet:prod")


def by_kubectls_plugin(
    g: Ground, change: Callable[[Path], None] = lambda path: None, **environment: str
) -> dict[str, Any]:
    """With the context that a person's kubectl uses, and the plugin that it names."""
    path = g.directory / "people-kubeconfig"
    told = with_a_command(
        g, "agent", "update-kubeconfig", "prod", "--project=ops/fleet", f"--kubeconfig={path}"
    )
    name = told.removeprefix("Updated context ").strip().removesuffix(".")
    change(path)
    return by_context(g, path, name, **environment)


def plugin_without_a_good_token(g: Ground) -> dict[str, Any]:
    bad = g.directory / "bad-token"
    bad.write_text("glpat-" + "x" * 50)

    def spoil(path: Path) -> None:
        path.write_text(path.read_text().replace(str(g.world.data / "root-token"), str(bad)))

    return by_kubectls_plugin(g, spoil, XDG_CACHE_HOME=str(g.directory / "empty-cache"))


KASBAH_FAULTS: dict[str, tuple[Seed, str, tuple[str, ...]]] = {
    "nobody is logged in": (
        lambda g: g.kasbah(KASBAH_URL="", KASBAH_TOKEN="", KASBAH_CA_FILE=""),
        "login",
        ("not-logged-in",),
    ),
    "a hub whose name does not exist": (
        lambda g: g.kasbah(url="https://no-such-hub.invalid"),
        "hub.dns",
        ("dns-no-such-name", "dns-no-answer"),
    ),
    "a hub that is away": (
        lambda g: g.kasbah(url=f"https://127.0.0.1:{free_port()}"),
        "hub.tcp",
        ("tcp-refused",),
    ),
    "a hub of an unknown authority": (
        lambda g: g.kasbah(KASBAH_CA_FILE=""),
        "hub.tls",
        ("tls-unknown-authority",),
    ),
    "a page for people instead of the hub": (
        lambda g: g.kasbah(url=f"http://127.0.0.1:{g.serve(saying(PAGE))}"),
        "hub.api",
        ("http-web-page",),
    ),
    "a hub that moved": (
        lambda g: g.kasbah(url=f"http://127.0.0.1:{g.nginx('return 301 https://git.example$request_uri;')}"),
        "hub.api",
        ("http-redirect-to-tls",),
    ),
    "a proxy on the way to the hub that refuses": (
        lambda g: g.kasbah(HTTPS_PROXY=f"http://127.0.0.1:{g.serve(connect_proxy(b'403 Forbidden'))}"),
        "hub.connect",
        ("proxy-refuses",),
    ),
    "a person's wrong token": (
        lambda g: g.kasbah(token="glpat-" + "x" * 50),
        "hub.token",
        ("hub-token-unknown",),
    ),
    "a person's revoked token": (revoked_person, "hub.token", ("hub-token-revoked",)),
    "a person's expired token": (expired_person, "hub.token", ("hub-token-expired",)),
    "a person's token that expires tomorrow": (soon_expired_person, "hub.token", ("hub-token-expires-soon",)),
    "a token without the scope": (
        lambda g: g.kasbah(token=token_with(g, "read_api")[1]),
        "hub.token",
        ("hub-token-scope",),
    ),
    "an agent that does not exist": (
        lambda g: g.kasbah("nobody", "--project=ops/fleet"),
        "agent.exists",
        ("agent-not-found",),
    ),
    "an agent that is not shared": (
        lambda g: g.kasbah(str(agent(g, "private"))),
        "cluster.version",
        ("agent-not-allowed",),
    ),
    "an agent that is not connected": (not_connected, "cluster.version", ("agent-not-connected",)),
    "an agent whose API server is away": (cluster_away, "cluster.version", ("agent-cluster-away",)),
    "an agent that may not impersonate": (
        may_not_impersonate,
        "cluster.version",
        ("agent-may-not-impersonate",),
    ),
    "a person without rights": (no_right_to_list_pods, "cluster.pods", ("rbac-list-pods",)),
    "a context that is not there": (
        lambda g: by_context(g, g.world.directory / "kubeconfig", "nobody"),
        "kubeconfig",
        ("kubeconfig-unusable",),
    ),
    "a context of another authority": (
        lambda g: in_a_job(
            g,
            lambda text: "\n".join(
                line for line in text.splitlines() if "certificate-authority-data" not in line
            ),
        ),
        "kas.tls",
        ("tls-unknown-authority",),
    ),
    "a job's token that is not good": (
        lambda g: in_a_job(g, lambda text: text.replace("glcbt-", "glcbt-x")),
        "cluster.version",
        ("agent-not-allowed",),
    ),
    "a plugin whose token is not good": (
        plugin_without_a_good_token,
        "agent.credential",
        ("no-credential",),
    ),
    "kas' path leads to a page": (
        lambda g: in_front(g, f"location /-/ {{ proxy_pass http://127.0.0.1:{g.serve(saying(PAGE))}; }}"),
        "kas.refuses",
        ("http-web-page",),
    ),
    "kas' path leads nowhere": (
        lambda g: in_front(g, "location /-/ { return 404; }"),
        "kas.refuses",
        ("http-wrong-path",),
    ),
    "kas' path leads to another API server": (another_api_server, "kas.refuses", ("kas-foreign-server",)),
    "a gate with a login before kas": (
        lambda g: in_front(g, "location /-/ { return 403; }"),
        "kas.refuses",
        ("http-not-let-in",),
    ),
    "a kas that is away": (
        lambda g: in_front(g, f"location /-/ {{ proxy_pass http://127.0.0.1:{free_port()}; }}"),
        "kas.refuses",
        ("http-gateway",),
    ),
    "no upgrades for kubectl": (
        lambda g: in_front(g, g.behind(PATIENT, UNBUFFERED)),
        "stream.websocket",
        ("http-upgrade-dropped",),
    ),
    "answers are collected": (
        lambda g: in_front(g, g.behind(UPGRADE, PATIENT, "client_max_body_size 0; proxy_buffering on;")),
        "stream.watch",
        ("stream-buffered",),
    ),
    "silent answers are cut": (
        lambda g: in_front(
            g, g.behind(UPGRADE, UNBUFFERED, "proxy_read_timeout 2s; proxy_send_timeout 2s;"), "--watch=5s"
        ),
        "stream.watch",
        ("stream-cut",),
    ),
    "bodies over a mebibyte are refused": (
        lambda g: in_front(g, g.behind(UPGRADE, PATIENT, "proxy_buffering off; client_max_body_size 1m;")),
        "stream.body",
        ("http-body-too-large",),
    ),
}


@pytest.mark.parametrize("fault", KASBAH_FAULTS)
def test_kasbah_doctor_names_the_fault(ground: Ground, fault: str):
    examine(ground, KASBAH_FAULTS[fault][0], KASBAH_FAULTS[fault][1], *KASBAH_FAULTS[fault][2])


CLEAN_KASBAH: dict[str, Seed] = {
    "as far as kas": lambda g: g.kasbah(),
    "direct": lambda g: g.kasbah(*WAY),
    "by id and with a token for the proxy alone": lambda g: g.kasbah(
        str(g.world.agent_id), "--watch=1s", token=token_with(g, "read_api", "k8s_proxy")[1]
    ),
    "in a job": in_a_job,
    "by kubectl's plugin": by_kubectls_plugin,
    "with a pod": lambda g: g.kasbah(*WAY, f"--pod={run_pod(g.world)}"),
    "behind nginx": lambda g: in_front(g, g.behind(GOOD)),
    "through a proxy": lambda g: g.kasbah(
        *WAY, HTTPS_PROXY=f"http://mia:s3cret-of-the-proxy@127.0.0.1:{g.serve(connect_proxy())}"
    ),
}


@pytest.mark.parametrize("way", CLEAN_KASBAH)
def test_kasbah_doctor_is_silent_on_a_clean_way(ground: Ground, way: str):
    silent(ground, CLEAN_KASBAH[way])


# -- for people ------------------------------------------------------------------------------------------------------


def test_people_read_what_was_seen_and_what_to_change(ground: Ground):
    argv = [sys.executable, "-m", "kasbah.agentk", "doctor", f"--kas-address={ground.secure}"]
    environment = ground.world.environment | {"AGENTK_TOKEN": "glagent-" + "x" * 50, "KUBECONFIG": os.devnull}
    environment["KUBECONFIG"] = str(ground.world.cluster.admin_kubeconfig)
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=30, check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    failed = next(index for index, line in enumerate(lines) if line.startswith("FAIL"))
    assert "kas.tls" in lines[failed]
    assert "--kas-ca-cert-file" in lines[failed + 1]
    assert "skip  kas.token" in done.stdout
    assert lines[-1] == "The first hop that fails is kas.tls (tls-unknown-authority)."


@pytest.mark.parametrize(
    "argv",
    [
        ["kasbah.agentk", "doctor", "--no-such-flag"],
        ["kasbah.agentk", "doctor", "--idle=soon"],
        ["kasbah.cli", "doctor", "--no-such-flag"],
        ["kasbah.cli", "doctor", "prod"],
        ["kasbah.cli", "doctor", "--watch=0s"],
    ],
)
def test_wrong_usage_ends_with_2(ground: Ground, argv: list[str]):
    environment = ground.world.environment | {"KASBAH_URL": ground.world.https, "KASBAH_TOKEN": "glpat-x"}
    done = subprocess.run(
        [sys.executable, "-m", *argv], capture_output=True, env=environment, timeout=30, check=False
    )
    assert done.returncode == 2, done.stderr
