from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.wire.request_target import RefusedTargetError, parse_target

NS = b"/api/v1/namespaces/shop"


@pytest.mark.parametrize(
    ("method", "raw", "verb", "group", "resource", "subresource", "namespace", "name"),
    [
        (b"GET", b"/api/v1/pods", "list", "", "pods", "", "", ""),
        (b"GET", b"/api/v1/pods?watch=1", "watch", "", "pods", "", "", ""),
        (b"GET", b"/api/v1/pods?watch=false", "list", "", "pods", "", "", ""),
        (b"GET", b"/api/v1/watch/pods", "watch", "", "pods", "", "", ""),
        (b"GET", b"/api/v1/proxy/nodes/a", "proxy", "", "nodes", "", "", "a"),
        (b"POST", b"/api/v1/watch/pods", "watch", "", "pods", "", "", ""),
        (b"GET", NS + b"/pods/web?watch=1", "get", "", "pods", "", "shop", "web"),
        (b"GET", NS + b"/pods?fieldSelector=metadata.name%3Dweb", "list", "", "pods", "", "shop", "web"),
        (
            b"GET",
            NS + b"/pods?watch&fieldSelector=a%3Db,metadata.name%3D%3Dweb",
            "watch",
            "",
            "pods",
            "",
            "shop",
            "web",
        ),
        (b"GET", NS + b"/pods?fieldSelector=metadata.name%21%3Dweb", "list", "", "pods", "", "shop", ""),
        (
            b"DELETE",
            NS + b"/pods?fieldSelector=metadata.name%3Dweb",
            "deletecollection",
            "",
            "pods",
            "",
            "shop",
            "",
        ),
        (b"HEAD", b"/version", "head", "", "", "", "", ""),
        (b"POST", b"/anything/else", "post", "", "", "", "", ""),
        (b"HEAD", NS + b"/pods/web", "get", "", "pods", "", "shop", "web"),
        (b"POST", NS + b"/pods", "create", "", "pods", "", "shop", ""),
        (b"PUT", NS + b"/pods/web/status", "update", "", "pods", "status", "shop", "web"),
        (b"DELETE", NS + b"/pods", "deletecollection", "", "pods", "", "shop", ""),
        (b"DELETE", NS + b"/pods/web", "delete", "", "pods", "", "shop", "web"),
        (
            b"PATCH",
            b"/apis/apps/v1/namespaces/shop/deployments/web",
            "patch",
            "apps",
            "deployments",
            "",
            "shop",
            "web",
        ),
        (b"GET", NS, "get", "", "namespaces", "", "shop", "shop"),
        (b"PUT", NS + b"/finalize", "update", "", "namespaces", "finalize", "shop", "shop"),
        (b"GET", b"/api/v1/namespaces", "list", "", "namespaces", "", "", ""),
        (
            b"GET",
            NS + b"/services/https:web:443/proxy/a/b",
            "proxy",
            "",
            "services",
            "proxy",
            "shop",
            "https:web:443",
        ),
        (b"GET", b"/version", "get", "", "", "", "", ""),
        (b"GET", b"/", "get", "", "", "", "", ""),
        (b"GET", b"/apis/apps/v1", "get", "", "", "", "", ""),
        (b"GET", b"/api/v1/", "get", "", "", "", "", ""),
    ],
)
def test_a_target_is_classified_as_the_api_server_does(
    method, raw, verb, group, resource, subresource, namespace, name
):
    target = parse_target(method, raw)
    assert target.raw == raw
    assert (target.verb, target.group, target.resource) == (verb, group, resource)
    assert (target.subresource, target.namespace, target.name) == (subresource, namespace, name)


@pytest.mark.parametrize(
    ("raw", "open_ended", "may_upgrade"),
    [
        (NS + b"/pods?watch=true", True, True),
        (NS + b"/pods/web/log?follow=true", True, True),
        (NS + b"/pods/web/log", False, True),
        (NS + b"/pods/web/exec?command=sh", True, True),
        (NS + b"/pods/web/portforward", True, True),
        (b"/api/v1/nodes/n/proxy/metrics", True, True),
        (NS + b"/pods/web", False, False),
        (NS + b"/pods?watch=0", False, False),
        (NS + b"/pods?w%61tch=1", True, True),
        (NS + b"/pods?watch=1&watch=false", True, True),
    ],
)
def test_open_ended_targets_are_known(raw, open_ended, may_upgrade):
    target = parse_target(b"GET", raw)
    assert (target.open_ended, target.may_upgrade) == (open_ended, may_upgrade)


@pytest.mark.parametrize(
    "raw",
    [
        b"api/v1",
        b"//api/v1",
        b"/api//v1",
        b"/api/./v1",
        b"/api/../v1",
        b"/api/%2e%2e/v1",
        b"/api/.%2E/v1",
        b"/api/%2fetc",
        b"/api/%5Cetc",
        b"/api/%00",
        b"/api/%1f",
        b"/api/%7f",
        b"/api/%252e",
        b"/api/%3b",
        b"/api;v=1",
        b"/api\\v1",
        b'/api/"',
        b"/api/%zz",
        b"/api/%c0%ae",
        b"/" + b"a" * 1025,
        b"/" + b"a/" * 64,
        b"/api?" + b"a=1&" * 101,
    ],
)
def test_an_ambiguous_target_is_refused(raw):
    with pytest.raises(RefusedTargetError):
        parse_target(b"GET", raw)


def test_a_percent_sign_alone_may_be_encoded():
    assert parse_target(b"GET", b"/api/v1/things/100%25").name == "100%"


@pytest.mark.parametrize(
    ("raw", "forwarded"),
    [
        (b"/version?gitlab-agent-id=7", b"/version"),
        (b"/version?a=1&gitlab%2Dcsrf-token=x&b=2", b"/version?a=1&b=2"),
        (b"/version?a=1", b"/version?a=1"),
    ],
)
def test_a_credential_in_the_query_does_not_travel(raw, forwarded):
    assert parse_target(b"GET", raw).raw == forwarded


@given(st.binary(max_size=200))
def test_any_bytes_are_classified_or_refused(noise):
    try:
        target = parse_target(b"GET", b"/" + bytes(b for b in noise if 0x20 < b < 0x7F and b != 0x23))
    except RefusedTargetError:
        return
    assert b"/../" not in target.raw.partition(b"?")[0]
