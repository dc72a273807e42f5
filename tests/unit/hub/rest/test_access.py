"""Which scopes open which routes."""

from __future__ import annotations

import pytest

from kasbah.hub.rest.access import ANY_TOKEN, API, KAS, READ_USER, SELF_ROTATE


@pytest.mark.parametrize(
    ("access", "scope", "method", "admitted"),
    [
        (API, "api", "POST", True),
        (API, "api", "GET", True),
        (API, "read_api", "GET", True),
        (API, "read_api", "HEAD", True),
        (API, "read_api", "POST", False),
        (API, "read_user", "GET", False),
        (API, "k8s_proxy", "GET", False),
        (READ_USER, "read_user", "GET", True),
        (SELF_ROTATE, "self_rotate", "POST", True),
        (SELF_ROTATE, "read_api", "POST", False),
        (ANY_TOKEN, "k8s_proxy", "DELETE", True),
        (KAS, "api", "GET", False),
    ],
)
def test_a_scope_opens_what_it_is_for(access, scope, method, admitted):
    assert access.admits(frozenset({scope}), method) is admitted


def test_a_refusal_names_every_scope_that_would_do():
    assert API.named == ("api", "read_api")
