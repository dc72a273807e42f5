"""URLs of private APIs, as GitLab writes them."""

from __future__ import annotations

import pytest

from kasbah.errors import UserError
from kasbah.kas.private_api.url import PrivateApiUrl, parse_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("grpc://10.0.0.5:8155", PrivateApiUrl(host="10.0.0.5", port=8155)),
        ("grpcs://kas-1.kas:443", PrivateApiUrl(host="kas-1.kas", port=443, tls=True)),
        ("grpc://[fd00::2]:8155", PrivateApiUrl(host="fd00::2", port=8155)),
        ("unix:///run/kas/private", PrivateApiUrl(path="/run/kas/private")),
    ],
)
def test_a_url_is_read_and_written(text: str, url: PrivateApiUrl):
    assert parse_url(text) == url
    assert str(url) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kas:8155",
        "http://kas:8155",
        "grpc://kas",
        "grpc://:8155",
        "grpc://kas:0",
        "grpc://kas:99999",
        "grpc://kas:8155/path",
        "grpc://kas:8155?a=b",
        "grpc://user:secret@kas:8155",
        "unix://relative",
        "unix:relative",
        "grpc://[::1:8155",
    ],
)
def test_anything_else_is_refused_and_a_password_is_not_repeated(text: str):
    with pytest.raises(UserError) as caught:
        parse_url(text)
    assert "secret" not in str(caught.value)
