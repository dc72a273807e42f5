"""`kasbah up` checks what it can before it turns into the server."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("flag", ["--tls-cert", "--tls-key"])
def test_a_certificate_and_its_key_belong_together(kasbah, flag):
    assert kasbah("up", flag, "x") == 2
    assert "give both or neither" in kasbah.err
