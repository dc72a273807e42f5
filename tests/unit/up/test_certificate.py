"""What `kasbah up` serves https with."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.up.certificate import ensure_certificate
from kasbah.up.flags import parse


def test_the_local_authority_vouches_for_the_names_it_is_given(tmp_path: Path):
    settings = parse(["--data", str(tmp_path), "--hostname", "kasbah.test", "--http", "0.0.0.0:1"], {})
    _, ca_file = ensure_certificate(settings)
    assert ca_file == tmp_path / "ca.crt"
    assert b"BEGIN CERTIFICATE" in (tmp_path / "tls.crt").read_bytes()


def test_a_given_certificate_that_cannot_be_used_is_named(tmp_path: Path):
    words = [
        "--data",
        str(tmp_path),
        "--tls-cert",
        str(tmp_path / "x.crt"),
        "--tls-key",
        str(tmp_path / "x.key"),
    ]
    with pytest.raises(UserError, match=r"cannot use --tls-cert .*x\.crt"):
        ensure_certificate(parse(words, {}))
