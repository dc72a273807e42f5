"""A way to a server that answers from memory, for the doctors' looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from kasbah.kit.doctor.certificate import Trust
from kasbah.kit.doctor.link import Answer, Exchange, Link
from kasbah.kit.doctor.way import Way

Respond = Callable[[bytes], list[bytes]]
"""A request to the pieces of its answer; an empty last one ends the connection."""


class _Writer:
    def __init__(self, reader: asyncio.StreamReader, respond: Respond) -> None:
        self._reader = reader
        self._respond = respond

    def write(self, data: bytes) -> None:
        for piece in self._respond(data):
            if piece:
                self._reader.feed_data(piece)
            else:
                self._reader.feed_eof()

    async def drain(self) -> None:
        """Nothing waits."""


class AnsweringWay(Way):
    """Reached at once."""

    def __init__(self, respond: Respond) -> None:
        super().__init__(
            name="kas",
            host="kas.example",
            port=443,
            context=None,
            server_name="kas.example",
            trust=Trust(remedy=""),
        )
        self.respond = respond

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Link]:
        reader = asyncio.StreamReader()
        yield Link(reader, cast("asyncio.StreamWriter", cast("Any", _Writer(reader, self.respond))))

    async def ask(self, request: bytes) -> Answer:
        async with self.open() as link:
            return await Exchange(link).whole(request)
