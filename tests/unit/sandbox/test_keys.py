"""The signing key is one that other people's libraries read."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandbox import keys


def test_a_key_is_a_private_key_on_p256() -> None:
    key = load_pem_private_key(keys.private_key_pem().encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"


def test_no_two_keys_are_alike() -> None:
    assert keys.private_key_pem() != keys.private_key_pem()
