from __future__ import annotations

import json

import pytest
import yaml

from kasbah.wire import kubernetes_status
from kasbah.wire.kubernetes_status import Failure

DENIED = Failure(code=401, text="Unauthorized: x -> y", trace_id="abc")


def render(
    failure: Failure = DENIED, accept: bytes = b"", user_agent: bytes = b""
) -> kubernetes_status.RenderedStatus:
    return kubernetes_status.render(failure, accept=accept, user_agent=user_agent)


def test_a_failure_is_compact_json_in_gitlabs_order():
    assert render().body == (
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        b'"message":"GitLab Agent Server: Unauthorized: x -\\u003e y. Trace ID: abc",'
        b'"reason":"Unauthorized","code":401}\n'
    )


@pytest.mark.parametrize("user_agent", [b"curl/8.5.0", b"Mozilla/5.0 (X11)", b"Wget/1.21"])
def test_people_get_it_indented(user_agent):
    assert render(user_agent=user_agent).body.startswith(
        b'{\n  "kind": "Status",\n  "apiVersion": "v1",\n  "metadata": {},'
    )


def test_a_bad_gateway_has_no_reason_and_no_trace_when_there_is_none():
    document = json.loads(render(Failure(code=502, text="x")).body)
    assert "reason" not in document
    assert document["message"] == "GitLab Agent Server: x"


def test_when_to_retry_is_told():
    document = json.loads(render(Failure(code=429, text="x", retry_after_s=3)).body)
    assert document["details"] == {"retryAfterSeconds": 3}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (b"*/*", "application/json"),
        (b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "application/json"),
        (b"application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf"),
        (b"text/html, application/*;q=0.8", "application/json"),
        (b"application/json;q=0, application/yaml", "application/yaml"),
    ],
)
def test_the_type_is_the_clients_first_that_we_have(accept, content_type):
    assert render(accept=accept).content_type == content_type


def test_whoever_takes_none_of_ours_gets_406():
    status = render(accept=b"text/html")
    assert (status.code, status.content_type) == (406, "text/plain; charset=utf-8")


def test_yaml_says_the_same_as_json():
    failure = Failure(code=429, text='a "quoted": é', retry_after_s=2)
    assert yaml.safe_load(render(failure, b"application/yaml").body) == json.loads(render(failure).body)


def test_protobuf_is_an_unknown_around_a_status():
    body = render(
        Failure(code=503, text="x" * 200, retry_after_s=1), b"application/vnd.kubernetes.protobuf"
    ).body
    assert body.startswith(b"k8s\x00\x0a\x0c\x0a\x02v1\x12\x06Status\x12")
    assert b"\x2a\x02\x28\x01\x30\xf7\x03" in body


def test_protobuf_of_a_bad_gateway_has_no_reason():
    assert render(Failure(code=502, text="x"), b"application/vnd.kubernetes.protobuf").body.endswith(
        b"\x1a\x00\x22\x00"
    )
