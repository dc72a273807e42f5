"""The key that signs service account tokens, made with the standard library alone.

An ECDSA private key is a random number in a range. Kubernetes derives the public part itself, both to sign and to verify.
"""

from __future__ import annotations

import base64
import secrets

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P256_OBJECT_ID = bytes.fromhex("06082a8648ce3d030107")


def private_key_pem() -> str:
    """A fresh P-256 key as PEM, in the form of RFC 5915 without the optional public part."""
    scalar = (1 + secrets.randbelow(_P256_ORDER - 1)).to_bytes(32, "big")
    body = b"\x02\x01\x01" + _der(0x04, scalar) + _der(0xA0, _P256_OBJECT_ID)
    text = base64.encodebytes(_der(0x30, body)).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{text}-----END EC PRIVATE KEY-----\n"


def _der(tag: int, body: bytes) -> bytes:
    return bytes((tag, len(body))) + body
