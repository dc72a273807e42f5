"""Opening a connection; what the TLS transport does is said in tests/unit/kit."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from kasbah.kube import tls


class Unreachable:
    """A loop's `create_connection` that fails."""

    async def __call__(self, *_: object) -> None:
        raise ConnectionRefusedError("refused")


@pytest.mark.asyncio
@pytest.mark.parametrize("context", [None, ssl.create_default_context()])
async def test_a_server_that_refuses_is_an_os_error(context: ssl.SSLContext | None):
    asyncio.get_running_loop().create_connection = Unreachable()  # type: ignore[method-assign,assignment]
    with pytest.raises(ConnectionRefusedError):
        await tls.open_connection(asyncio.Protocol, "127.0.0.1", 9, context=context, server_name="localhost")
