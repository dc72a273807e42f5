"""TLS between a socket and a protocol, against a server's OpenSSL in memory."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest

from kasbah.kit.local_ca import LocalCertificates, ensure_local_ca
from kasbah.kit.tls_transport import TlsTransport


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> LocalCertificates:
    return ensure_local_ca(tmp_path_factory.mktemp("ca"), ["localhost"])


class Above(asyncio.Protocol):
    """The protocol above: writes down what it hears."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.received = b""
        self.pause_at: int | None = None
        self.transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.said.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.pause_at is not None and len(self.received) >= self.pause_at:
            self.pause_at = None
            self.transport.pause_reading()  # type: ignore[union-attr]

    def eof_received(self) -> bool | None:
        self.said.append("eof")
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.said.append(f"lost {type(exc).__name__}")


class Socket:
    """The socket's transport, with a TLS server right behind it."""

    def __init__(self, certificates: LocalCertificates) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.below: TlsTransport | None = None
        self.heard = b""
        self.closed = ""
        self.reading = True

    def write(self, data: bytes) -> None:
        self.incoming.write(data)

    def is_closing(self) -> bool:
        return bool(self.closed)

    def close(self) -> None:
        self.closed = self.closed or "closed"

    def abort(self) -> None:
        self.closed = "aborted"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def work(self) -> None:
        """Let the server shake hands and read, and deliver what it says."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.server.do_handshake()
            self.heard += self.server.read(1 << 20)
        self.deliver()

    def deliver(self) -> None:
        if self.outgoing.pending:
            self.below.data_received(self.outgoing.read())  # type: ignore[union-attr]


def connect(certificates: LocalCertificates, name: str = "localhost") -> tuple[TlsTransport, Above, Socket]:
    context = ssl.create_default_context(cafile=certificates.ca_certificate)
    above, socket = Above(), Socket(certificates)
    transport = socket.below = TlsTransport(context, name, above)
    transport.connection_made(socket)  # type: ignore[arg-type]
    with contextlib.suppress(ssl.SSLError):
        for _ in range(4):
            socket.work()
    return transport, above, socket


@pytest.mark.asyncio
async def test_a_handshake_ends_with_a_connection_above(certificates: LocalCertificates):
    transport, above, _ = connect(certificates)
    await transport.secured()
    assert above.said == ["made"]


@pytest.mark.asyncio
async def test_bytes_pass_both_ways_whatever_their_size(certificates: LocalCertificates):
    transport, above, socket = connect(certificates)
    transport.writelines([b"x" * 200_000, b"y"])
    for _ in range(20):
        socket.work()
    socket.server.write(b"z" * 300_000)
    socket.deliver()
    assert socket.heard == b"x" * 200_000 + b"y"
    assert above.received == b"z" * 300_000


@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["eof", "lost"])
async def test_nothing_is_lost_when_the_server_closes_while_reading_is_paused(
    certificates: LocalCertificates, end: str
):
    transport, above, socket = connect(certificates)
    above.pause_at = 20_000
    socket.server.write(b"z" * 300_000)
    socket.deliver()
    assert not socket.reading
    assert len(above.received) < 300_000
    transport.eof_received() if end == "eof" else transport.connection_lost(None)
    assert above.said == ["made"]
    transport.resume_reading()
    await asyncio.sleep(0)
    assert len(above.received) == 300_000
    assert above.said[1] == ("eof" if end == "eof" else "lost NoneType")


@pytest.mark.asyncio
async def test_a_certificate_for_another_name_is_refused(certificates: LocalCertificates):
    transport, above, socket = connect(certificates, "elsewhere.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        await transport.secured()
    assert (above.said, socket.closed) == ([], "closed")


@pytest.mark.asyncio
async def test_a_server_that_leaves_during_the_handshake_is_a_connection_error(
    certificates: LocalCertificates,
):
    context = ssl.create_default_context(cafile=certificates.ca_certificate)
    transport = TlsTransport(context, "localhost", Above())
    transport.connection_made(Socket(certificates))  # type: ignore[arg-type]
    transport.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await transport.secured()


@pytest.mark.asyncio
async def test_garbage_ends_the_connection_once(certificates: LocalCertificates):
    transport, above, socket = connect(certificates)
    transport.data_received(b"not tls at all, not even close")
    transport.connection_lost(None)
    assert socket.closed == "aborted"
    assert above.said == ["made", "lost SSLError"]


@pytest.mark.asyncio
async def test_closing_says_goodbye_and_reads_no_more(certificates: LocalCertificates):
    transport, above, socket = connect(certificates)
    transport.close()
    assert socket.server.read(10) == b""
    socket.server.write(b"late")
    socket.deliver()
    assert (above.received, socket.closed) == (b"", "closed")


@pytest.mark.asyncio
async def test_the_servers_goodbye_is_an_end(certificates: LocalCertificates):
    transport, above, socket = connect(certificates)
    with contextlib.suppress(ssl.SSLError):
        socket.server.unwrap()
    socket.deliver()
    assert above.said == ["made", "eof"]
    assert transport.is_closing()
