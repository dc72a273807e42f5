"""From kas' file to what it listens on."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from kasbah.errors import PeerError, UserError
from kasbah.kas import file_settings
from kasbah.kas.configuration_file.schema import ListenSection
from kasbah.kas.http_server.exchange import NullExchange
from kasbah.kas.http_server.server import HttpServer, Listen
from kasbah.kit.listening import Address, bound


async def answers(listen: Listen, client: socket.socket) -> bool:
    """Whether a server on these sockets says something to who connects with this one."""

    def route(_head, client):
        client.start(b"HTTP/1.1 204 No Content\r\n", None, bodiless=True)
        client.finish()
        return NullExchange()

    server, ready = HttpServer([listen], route), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run(ready.set))
        await ready.wait()
        reader, writer = await asyncio.open_connection(sock=client)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        said = await reader.readline()
        writer.close()
        running.cancel()
    return said == b"HTTP/1.1 204 No Content\r\n"


def test_a_certificate_that_cannot_be_used_is_named_by_its_key():
    section = ListenSection(address=":0", certificate_file="/absent", key_file="/absent")
    with ExitStack() as stack, pytest.raises(UserError, match=r"^agent\.listen: the certificate"):
        file_settings.listen(section, "agent.listen", stack)


def test_an_address_that_is_taken_is_named_by_its_key():
    with (
        bound(Address(host="127.0.0.1", port=0)) as taken,
        ExitStack() as stack,
        pytest.raises(PeerError, match=r"^agent\.listen\.address 127\.0\.0\.1:\d+: Address already in use$"),
    ):
        file_settings.listen(ListenSection(address=str(taken.address)), "agent.listen", stack)


@pytest.mark.asyncio
async def test_every_interface_answers_over_ipv4_too():
    with ExitStack() as stack:
        listen = file_settings.listen(ListenSection(address=":0"), "agent.listen", stack)
        assert await answers(listen, socket.create_connection(("127.0.0.1", listen.port)))


@pytest.mark.asyncio
async def test_a_path_is_served_as_an_address_is(tmp_path: Path):
    path = str(tmp_path / "kas.sock")
    with ExitStack() as stack:
        listen = file_settings.listen(ListenSection(network="unix", address=path), "agent.listen", stack)
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        assert await answers(listen, client)
