"""Tokens made by hand that nobody may take, one beside the other: each differs from a good one in one thing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----
"""
Json = Any
Claims = dict[str, Json]
_HASHES: dict[str, Callable[[], Any]] = {
    "HS256": hashlib.sha256,
    "HS384": hashlib.sha384,
    "HS512": hashlib.sha512,
}


def b64(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def compact(header: bytes, payload: bytes, key: bytes, algorithm: str = "HS256") -> str:
    """Three parts; the signature is good for this key, whatever the header says."""
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), _HASHES[algorithm]))}"


def signed(claims: Json, key: bytes, algorithm: str = "HS256", **header: Json) -> str:
    """A token with these claims; `header` adds to its header or replaces `alg` and `typ`."""
    told = {"alg": algorithm, "typ": "JWT"} | header
    return compact(json.dumps(told).encode(), json.dumps(claims).encode(), key, algorithm)


def forgeries(key: bytes, good: Claims, now: int) -> dict[str, str]:
    """By what is wrong with it.

    Args:
        key: the secret of whoever checks.
        good: claims it takes, `aud` and `exp` among them.
        now: the time it checks at.
    """
    return dict([*_algorithms(key, good), *_keys(key, good), *_shapes(key, good), *_claims(key, good, now)])


def _algorithms(key: bytes, good: Claims) -> Iterator[tuple[str, str]]:
    for name in ("none", "None", "NONE", "nOnE"):
        unsigned = (
            f"{b64(json.dumps({'alg': name, 'typ': 'JWT'}).encode())}.{b64(json.dumps(good).encode())}."
        )
        yield f"alg {name} without a signature", unsigned
        yield f"alg {name} with a signature", signed(good, key, alg=name)
    for name in ("hs256", "HS255", "HS1", "RS256", "ES256", "PS256", "EdDSA", "", "dir", "HS256 "):
        yield f"alg {name!r}", signed(good, key, alg=name)
    yield "alg of another type", signed(good, key, alg=256)
    yield "alg null", signed(good, key, alg=None)
    yield "alg a list", signed(good, key, alg=["HS256"])
    yield "alg absent", compact(b'{"typ":"JWT"}', json.dumps(good).encode(), key)
    yield "alg HS512 over an HS256 signature", signed(good, key, alg="HS512")
    yield "alg HS384 over an HS256 signature", signed(good, key, alg="HS384")
    yield "alg HS256 over an HS512 signature", signed(good, key, "HS512", alg="HS256")


def _keys(key: bytes, good: Claims) -> Iterator[tuple[str, str]]:
    yield "the secret of somebody else", signed(good, b"x" * 32)
    yield "an empty secret", signed(good, b"")
    yield "the secret's base64 text as the secret", signed(good, base64.b64encode(key))
    yield "the secret with a newline", signed(good, key + b"\n")
    yield "half of the secret", signed(good, key[:16])
    yield "RS256 with a public key as the secret", signed(good, PUBLIC_KEY, alg="RS256")
    yield "a public key as the secret", signed(good, PUBLIC_KEY)
    attacker = {"kty": "oct", "k": b64(b"x" * 32)}
    yield "a key in its own header", signed(good, b"x" * 32, jwk=attacker)
    yield "a key named by a URL", signed(good, b"x" * 32, jku="http://127.0.0.1/keys")
    yield "a key named by a path", signed(good, b"", kid="../../../../dev/null")


def _shapes(key: bytes, good: Claims) -> Iterator[tuple[str, str]]:
    header, payload = b'{"alg":"HS256","typ":"JWT"}', json.dumps(good).encode()
    token = compact(header, payload, key)
    first, second, third = token.split(".")
    yield "nothing", ""
    yield "dots only", ".."
    yield "one part", first
    yield "two parts", f"{first}.{second}"
    yield "no signature", f"{first}.{second}."
    yield "no claims", f"{first}..{third}"
    yield "no header", f".{second}.{third}"
    yield "four parts", f"{token}.{third}"
    yield "five parts", f"{first}..{second}.{third}."
    yield "a truncated signature", token[:-10]
    yield "a signature of one more byte", token + "AA"
    yield "a padded signature", token + "="
    yield "a space inside", token.replace(".", ". ", 1)
    yield "a newline behind", token + "\n"
    yield "a NUL inside", token[:30] + "\x00" + token[30:]
    yield "stray bits behind the signature", token[:-1] + chr(ord(token[-1]) + 1)
    yield "letters that are not ASCII", token[:30] + "é" + token[31:]
    yield "another alphabet", f"{first}.{second}.{third[:-2]}+/"
    yield "claims of somebody else under a good signature", f"{first}.{b64(payload + b' ')}.{third}"
    yield "the same claims in another spelling", f"{first}.{b64(json.dumps(good, indent=1).encode())}.{third}"
    for name, text in (("JSON", b"{"), ("an object", b"[]"), ("UTF-8", b'{"alg":"HS256","x":"\xff"}')):
        yield f"a header that is not {name}", compact(text, payload, key)
    for text in (b"", b"{", b"[]", b'"x"', b"null", b"1", b'{"aud":"\xff"}', b"[" * 900):
        yield f"claims {text[:20]!r}", compact(header, text, key)
    yield "critical what nobody knows", signed(good, key, crit=["x"], x=1)
    yield "critical nothing", signed(good, key, crit=[])
    yield "an unencoded payload", signed(good, key, crit=["b64"], b64=False)
    yield "another type of token", signed(good, key, typ="at+jwt")
    yield "a type that is no text", signed(good, key, typ=1)
    yield "one that is huge", signed({**good, "x": "x" * 8000}, key)


def _claims(key: bytes, good: Claims, now: int) -> Iterator[tuple[str, str]]:
    def changed(**changes: Json) -> str:
        return signed({name: value for name, value in {**good, **changes}.items() if value is not ...}, key)

    yield "no end", changed(exp=...)
    ends: Claims = {"null": None, "text": "soon", "a number as text": str(now + 60), "true": True}
    ends |= {"a list": [now + 60], "zero": 0, "negative": -now, "a minute ago": now - 60}
    for name, exp in ends.items():
        yield f"an end that is {name}", changed(exp=exp)
    yield "an end six seconds ago", changed(exp=now - 6)
    yield "an end that is infinite", changed(exp=float("inf"))
    yield "an end that is not a number", changed(exp=float("nan"))
    yield "a beginning in a minute", changed(nbf=now + 60)
    yield "a beginning that is text", changed(nbf="now")
    yield "a beginning that is a list", changed(nbf=[now])
    yield "an issue time that is text", changed(iat="now")
    yield "an issue time that is an object", changed(iat={})
    audience = good["aud"]
    yield "no audience", changed(aud=...)
    audiences: Claims = {"null": None, "empty": "", "foreign": "gitlab-agent", "an empty list": []}
    audiences |= {"a foreign list": ["a", "b"], "an object": {audience: 1}, "a number": 1}
    for name, aud in audiences.items():
        yield f"an audience that is {name}", changed(aud=aud)
    yield "an audience in capitals", changed(aud=audience.upper())
    yield "an audience with a space", changed(aud=f"{audience} ")
    yield "an audience of one letter more", changed(aud=f"{audience}s")
    yield "an audience in a list in a list", changed(aud=[[audience]])
    yield "an issuer that is a list", changed(iss=["gitlab-kas"])
