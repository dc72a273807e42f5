"""Only kas passes."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from kasbah.errors import UserError
from kasbah.hub.kas_jwt import KasJwtCheck, decode_secret, ensure_secret_file
from kasbah.hub.rest.errors import KasCredentialError
from kasbah.kit.secrets import Secret
from tests.doubles.rest_call import make_request

KEY = b"k" * 32
SECRET = Secret(base64.b64encode(KEY).decode() + "\n")
NOW = 1_000_000


def check(header: str) -> None:
    KasJwtCheck(SECRET, lambda: NOW)(make_request(headers={"Gitlab-Kas-Api-Request": header}))


def signed(**changes: object) -> str:
    claims = {"iss": "gitlab-kas", "aud": "gitlab", "exp": NOW + 5, **changes}
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": "HS256"}, present, OctKey.import_key(KEY))


@pytest.mark.parametrize("claims", [{}, {"aud": ["gitlab", "x"]}, {"exp": NOW - 4}, {"nbf": NOW + 4}])
def test_kas_passes_with_a_little_skew(claims):
    check(signed(**claims))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": NOW - 6},
        {"exp": "soon"},
        {"iss": "x"},
        {"iss": None},
        {"aud": "x"},
        {"aud": None},
        {"nbf": NOW + 6},
    ],
)
def test_a_claim_that_is_wrong_or_missing_is_refused(claims):
    with pytest.raises(KasCredentialError):
        check(signed(**claims))


@pytest.mark.parametrize("header", ["", "x", "a.b.c", "a" * 5000, "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_jwt_of_ours_is_refused(header):
    with pytest.raises(KasCredentialError):
        check(header)


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"short").decode()])
def test_a_secret_must_be_32_bytes(text):
    with pytest.raises(UserError, match="must be base64 of 32 random bytes"):
        decode_secret(Secret(text))


def test_the_secret_is_made_once_and_private(tmp_path: Path):
    file = tmp_path / "kas-secret"
    made = ensure_secret_file(file)
    assert len(decode_secret(made)) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert ensure_secret_file(file) == made


@pytest.mark.parametrize("content", [b"", b"not base64!", b"\xff\xfe", base64.b64encode(b"short")])
def test_a_file_with_something_else_is_named_and_kept(tmp_path: Path, content: bytes):
    file = tmp_path / "kas-secret"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"kas-secret: .*base64 of 32 random bytes.*remove the file"):
        ensure_secret_file(file)
    assert file.read_bytes() == content
