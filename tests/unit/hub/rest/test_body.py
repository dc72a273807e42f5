"""JSON, form and multipart carry the same values; what does not fit is refused before it is held."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from kasbah.hub.rest.body import (
    BodyFormatError,
    BodyTooLargeError,
    MediaTypeError,
    parse_form,
    read_values,
)


def request_of(*chunks: bytes, content_type: str = "application/json", length: str | None = None) -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        return messages.pop(0)

    headers = [(b"content-type", content_type.encode())]
    if length is not None:
        headers.append((b"content-length", length.encode()))
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nprod\r\n'
    b'--b\r\nContent-Disposition: form-data; name="scopes[]"\r\n\r\napi\r\n--b--\r\n'
)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"name":"prod","scopes":["api"]}'),
        ("application/json; charset=utf-8", b'{"name":"prod","scopes":["api"]}'),
        ("application/x-www-form-urlencoded", b"name=prod&scopes[]=api"),
        ("", b"name=prod&scopes%5B%5D=api"),
        ("multipart/form-data; boundary=b", MULTIPART),
        ('multipart/form-data; boundary="b"', MULTIPART),
    ],
)
async def test_all_forms_mean_the_same(content_type, body):
    values = await read_values(request_of(body[:7], body[7:], content_type=content_type), 1000)
    assert values == {"name": "prod", "scopes": ["api"]}


@pytest.mark.asyncio
async def test_no_body_is_no_values_whatever_its_type():
    assert await read_values(request_of(content_type="text/plain"), 10) == {}


@pytest.mark.asyncio
@pytest.mark.parametrize("length", ["11", "9" * 100, "x", "-1"])
async def test_a_declared_length_is_believed_before_anything_is_read(length):
    with pytest.raises(BodyTooLargeError):
        await read_values(request_of(length=length), 10)


@pytest.mark.asyncio
async def test_an_undeclared_length_is_counted():
    with pytest.raises(BodyTooLargeError):
        await read_values(request_of(b"123456", b"78901"), 10)


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'{"a":' + b"[" * 5000])
async def test_json_that_is_no_object_is_refused(body):
    with pytest.raises(BodyFormatError, match="message body does not match declared format"):
        await read_values(request_of(body), 10_000)


@pytest.mark.asyncio
async def test_another_media_type_is_named():
    with pytest.raises(MediaTypeError, match="'text/xml' is not supported"):
        await read_values(request_of(b"<a/>", content_type="text/xml"), 100)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [b"", b"--b", b"--b\r\n\r\nx\r\n--b--", b'--b\r\nx; name="a"\r\n\r\n\xff\r\n--b--', MULTIPART[:-6]],
)
async def test_multipart_that_is_not_whole_is_refused(body):
    with pytest.raises(BodyFormatError):
        await read_values(request_of(body or b"x", content_type="multipart/form-data; boundary=b"), 1000)


@pytest.mark.parametrize(
    ("encoded", "values"),
    [
        (b"a=1&a=2", {"a": "2"}),
        (b"a[]=1&a[]=2", {"a": ["1", "2"]}),
        (b"a[b]=1&a[c]=2", {"a": {"b": "1", "c": "2"}}),
        (b"a[b]=1&a[]=2", {"a": {"b": "1"}}),
        (b"a[]=1&a[b]=2", {"a": ["1"]}),
        (b"a=%C3%A9+x", {"a": "é x"}),
        (b"a=", {"a": ""}),
        (b"", {}),
    ],
)
def test_forms_nest_one_level(encoded, values):
    assert parse_form(encoded) == values


@pytest.mark.parametrize("encoded", [b"a=%ff", b"\xff=1", b"&".join([b"a=1"] * 1001)])
def test_a_form_that_is_no_text_or_too_long_is_refused(encoded):
    with pytest.raises(BodyFormatError):
        parse_form(encoded)
