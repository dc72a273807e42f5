"""From kas' file to what it listens on."""

from __future__ import annotations

import asyncio

import pytest

from kasbah.errors import UserError
from kasbah.kas import __main__ as program
from kasbah.kas.configuration_file import ListenSection
from kasbah.kas.http_server.exchange import NullExchange
from kasbah.kas.http_server.server import HttpServer


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("", "127.0.0.1", 1),
        (":8150", "", 8150),
        ("0.0.0.0:8154", "0.0.0.0", 8154),
        ("[::1]:8154", "::1", 8154),
    ],
)
def test_an_address_without_a_host_is_every_interface(address: str, host: str, port: int):
    listen = program._listen(ListenSection(address=address), "127.0.0.1:1", "agent.listen")
    assert (listen.host, listen.port) == (host, port)


@pytest.mark.parametrize(
    "section",
    [
        ListenSection(network="unix"),
        ListenSection(address="8150"),
        ListenSection(address=":99999"),
        ListenSection(certificate_file="a.pem"),
        ListenSection(certificate_file="/absent", key_file="/absent"),
    ],
)
def test_what_cannot_be_listened_on_is_named_by_its_key(section: ListenSection):
    with pytest.raises(UserError, match=r"^agent\.listen"):
        program._listen(section, "127.0.0.1:1", "agent.listen")


@pytest.mark.asyncio
async def test_every_interface_answers_over_ipv4_too():
    listen = program._listen(ListenSection(address=":0"), "127.0.0.1:1", "agent.listen")
    server, ready = HttpServer([listen], lambda _head, _client: NullExchange()), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run(ready.set))
        await ready.wait()
        (port,) = {s.getsockname()[1] for s in server._servers[0].sockets if len(s.getsockname()) == 2}
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        running.cancel()
