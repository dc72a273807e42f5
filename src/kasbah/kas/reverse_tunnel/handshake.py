"""Checks the handshake of an agent's WebSocket (RFC 6455, 4.2.1)."""

from __future__ import annotations

import base64
import binascii

from kasbah.errors import UserError
from kasbah.wire.http1 import Headers


def check_handshake(headers: Headers) -> tuple[bytes, list[str]]:
    """The key and the offered subprotocols.

    Raises:
        UserError: it is not one, or comes from a browser's page.
    """
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    if b"origin" in values:
        raise UserError("agents send no Origin; a browser page may not open a tunnel")
    if values.get(b"sec-websocket-version") != [b"13"]:
        raise UserError("Sec-WebSocket-Version must be 13")
    keys = values.get(b"sec-websocket-key", [])
    try:
        if len(keys) != 1 or len(base64.b64decode(keys[0], validate=True)) != 16:
            raise UserError("Sec-WebSocket-Key must be 16 bytes in base64")
    except binascii.Error as error:
        raise UserError("Sec-WebSocket-Key must be 16 bytes in base64") from error
    offered = [
        part.strip().decode(errors="replace")
        for value in values.get(b"sec-websocket-protocol", ())
        for part in value.split(b",")
    ]
    return keys[0], offered
