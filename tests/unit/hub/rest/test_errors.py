"""What the REST layer refuses with."""

from __future__ import annotations

from kasbah.hub.rest.errors import ApiError, KasCredentialError, MethodNotAllowedError


def test_an_exact_answer_keeps_its_status_and_words():
    error = ApiError(413, "too much")
    assert (error.status, str(error)) == (413, "too much")


def test_the_allowed_methods_are_sorted():
    error = MethodNotAllowedError({"POST", "GET"})
    assert (error.allowed, str(error)) == (("GET", "POST"), "use one of GET, POST")


def test_kas_hears_gitlabs_words():
    assert str(KasCredentialError()) == "KAS JWT authentication invalid"
