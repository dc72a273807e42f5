"""What may stand between the ends and spoil things: nginx as it should and should not be, CONNECT proxies, odd servers."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.e2e.world import free_port, wait_for

UPGRADE = """
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_upgrade;
"""
PATIENT = "proxy_read_timeout 1h; proxy_send_timeout 1h;"
UNBUFFERED = "proxy_buffering off; proxy_request_buffering off; client_max_body_size 0;"
GOOD = UPGRADE + PATIENT + UNBUFFERED


class Nginx:
    """The system's nginx, one server on one port, for as long as it is needed."""

    def __init__(
        self, directory: Path, server: str, *, certificate: Path | None = None, host: str = "127.0.0.1"
    ):
        self.port = free_port()
        self._directory = directory / f"nginx-{self.port}"
        self._directory.mkdir()
        listen = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        tls = ""
        if certificate is not None:
            listen += " ssl"
            tls = f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"
        places = "".join(
            f"{name}_temp_path {self._directory}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self._directory / "nginx.conf").write_text(
            f"""
            pid {self._directory}/pid; error_log {self._directory}/error.log; worker_processes 1; daemon off;
            events {{ }}
            http {{
              access_log off; {places}
              map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
              server {{ listen {listen}; {tls} merge_slashes off; proxy_http_version 1.1; {server} }}
            }}
            """
        )
        self._host = host

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """Its port."""
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        argv = [program, "-e", str(self._directory / "error.log"), "-c", str(self._directory / "nginx.conf")]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(lambda: listens(self._host, self.port))
                yield self.port
            finally:
                process.terminate()


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


class Server:
    """A TCP server that treats each connection by a function, in threads."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept)
        self._connections: list[tuple[threading.Thread, socket.socket]] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """Its port."""
        self._thread.start()
        try:
            yield self.port
        finally:
            for taken in [self._listener, *(connection for _, connection in self._connections)]:
                with contextlib.suppress(OSError):
                    taken.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            for thread, _ in self._connections:
                thread.join()
            self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._one, args=(connection,))
            self._connections.append((thread, connection))
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._serve(connection)


def read_head(connection: socket.socket) -> bytes:
    """A request's head, or what came of it."""
    head = b""
    while b"\r\n\r\n" not in head and (data := connection.recv(65536)):
        head += data
    return head


def saying(answer: bytes) -> Server:
    """Answers every request alike and closes."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer)

    return Server(serve)


def greeting(banner: bytes) -> Server:
    """Speaks first, as other protocols do."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(banner)
        connection.recv(65536)

    return Server(serve)


def rewriting(port: int, change: Callable[[bytes], bytes]) -> Server:
    """A relay that changes what comes back."""

    def serve(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port)) as there:
            _join(connection, there, change)

    return Server(serve)


def connect_proxy(refusal: bytes = b"", credentials: bytes = b"") -> Server:
    """Takes CONNECT to any name at that port of this machine; or refuses; or wants these credentials (base64)."""

    def serve(connection: socket.socket) -> None:
        head = read_head(connection)
        if not head:
            return
        if credentials and b"Proxy-Authorization: Basic " + credentials not in head:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        if refusal:
            connection.sendall(b"HTTP/1.1 " + refusal + b"\r\nContent-Length: 0\r\n\r\n")
            return
        port = int(head.split()[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as there:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _join(connection, there, lambda data: data)

    return Server(serve)


def _join(one: socket.socket, other: socket.socket, change: Callable[[bytes], bytes]) -> None:
    back = threading.Thread(target=_pump, args=(other, one, change))
    back.start()
    _pump(one, other, lambda data: data)
    back.join()


def _pump(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(change(data))
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers nobody: its queue is full, so the kernel drops what comes."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = int(listener.getsockname()[1])
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        yield port


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate authority made up for one test."""

    name: str
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str) -> Issuer:
        return cls(name, ec.generate_private_key(ec.SECP256R1()))

    def write_own(self, path: Path) -> Path:
        """Its own certificate, to be trusted."""
        path.write_bytes(self._issue(self.name, self.key, (), dt.timedelta(days=365), ca=True))
        return path

    def write(
        self,
        path: Path,
        *names: str,
        life: dt.timedelta = dt.timedelta(days=365),
        age: dt.timedelta = dt.timedelta(0),
    ) -> Path:
        """A server's certificate and key in one file; of such an age, for such a life."""
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(self._issue(names[0], key, names, life, age=age) + private)
        return path

    def _issue(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        names: tuple[str, ...],
        life: dt.timedelta,
        *,
        age: dt.timedelta = dt.timedelta(0),
        ca: bool = False,
    ) -> bytes:
        begin = dt.datetime.now(dt.UTC) - age - dt.timedelta(minutes=5)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(subject))
            .issuer_name(_named(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + life)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
