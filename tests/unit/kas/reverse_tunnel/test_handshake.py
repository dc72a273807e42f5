from __future__ import annotations

import pytest

from kasbah.errors import UserError
from kasbah.kas.reverse_tunnel.handshake import check_handshake

KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"sec-websocket-version", b"13")


def test_a_handshake_has_a_key_and_what_is_offered():
    offers = [(b"sec-websocket-protocol", b"ws-tunnel, kasbah.v1"), (b"sec-websocket-protocol", b"x")]
    assert check_handshake([KEY, VERSION, *offers]) == (KEY[1], ["ws-tunnel", "kasbah.v1", "x"])
    assert check_handshake([KEY, VERSION]) == (KEY[1], [])


@pytest.mark.parametrize(
    "headers",
    [
        [KEY, VERSION, (b"origin", b"https://evil")],
        [KEY],
        [KEY, (VERSION[0], b"8")],
        [VERSION],
        [KEY, KEY, VERSION],
        [(KEY[0], b"c2hvcnQ="), VERSION],
        [(KEY[0], b"%%%"), VERSION],
    ],
    ids=["origin", "no version", "old version", "no key", "two keys", "short key", "no base64"],
)
def test_a_malformed_handshake_is_refused(headers):
    with pytest.raises(UserError):
        check_handshake(headers)
