"""The REST client: whole objects, all pages, and errors that say what to do."""

from __future__ import annotations

import ssl

import httpx2
import pytest

from kasbah.cli.api_client import ApiClient
from kasbah.cli.errors import NotAllowedError, NotFoundError, UnreachableError
from kasbah.cli.hosts import Host
from kasbah.cli.resources import Agent, User
from kasbah.errors import PeerError, UserError
from kasbah.kit.secrets import Secret
from tests.doubles.fake_gitlab import TOKEN, URL, FakeGitlab

HOST = Host(URL, Secret(TOKEN))


class Answers(httpx2.BaseTransport):
    """Answers everything alike, or fails alike."""

    def __init__(self, answer):
        self.answer = answer

    def handle_request(self, request):
        if isinstance(self.answer, Exception):
            raise self.answer
        self.answer.request = request
        return self.answer


def test_an_object_keeps_the_keys_we_do_not_name():
    with ApiClient(HOST, FakeGitlab()) as api:
        assert api.get("/user", User) == {"id": 4, "username": "mia", "name": "Mia", "state": "active"}


def test_all_pages_are_read_in_order():
    gitlab = FakeGitlab()
    gitlab.page_size = 2
    for name in "abcde":
        gitlab.add_agent(name)

    with ApiClient(HOST, gitlab) as api:
        names = [agent["name"] for agent in api.iterate("/projects/31/cluster_agents", Agent)]

    assert names == list("abcde")


def test_an_escaped_path_stays_one_segment():
    gitlab = FakeGitlab()

    with ApiClient(HOST, gitlab) as api:
        api.get("/projects/ops%2Ffleet", dict)

    assert gitlab.requests[-1][1] == "/projects/ops%2Ffleet"


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (401, {"message": "401 Unauthorized"}, NotAllowedError, "kasbah login --url"),
        (403, {"message": "403 Forbidden"}, NotAllowedError, "not allowed: Forbidden"),
        (404, {"message": "404 Project Not Found"}, NotFoundError, "Project Not Found"),
        (302, {}, UserError, "redirects elsewhere"),
        (400, {"error": "name is missing"}, UserError, "name is missing"),
        (400, {}, UserError, "refused with 400"),
        (429, {}, UnreachableError, "slow down"),
        (500, {"message": "500 Internal Server Error"}, PeerError, "failed with 500: Internal Server Error"),
    ],
)
def test_a_refusal_says_whose_fault_it_was(status, body, kind, text):
    with ApiClient(HOST, Answers(httpx2.Response(status, json=body))) as api, pytest.raises(kind, match=text):
        api.get("/user", User)


def distrusted():
    error = httpx2.ConnectError("handshake failed")
    error.__cause__ = ssl.SSLCertVerificationError("verify failed")
    error.__cause__.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            httpx2.ConnectError("Connection refused"),
            "cannot reach https://gitlab.example.org: Connection refused",
        ),
        (httpx2.ReadTimeout(""), "ReadTimeout"),
        (distrusted(), r"not trusted \(self-signed certificate\).*--ca-file"),
    ],
)
def test_no_answer_is_unreachable(error, text):
    with ApiClient(HOST, Answers(error)) as api, pytest.raises(UnreachableError, match=text):
        api.get("/user", User)


@pytest.mark.parametrize(
    "answer", [httpx2.Response(200, content=b"<html>"), httpx2.Response(200, json={"id": "x"})]
)
def test_an_answer_that_is_not_the_apis_is_the_hosts_fault(answer):
    with ApiClient(HOST, Answers(answer)) as api, pytest.raises(PeerError, match="is the URL that of a"):
        api.get("/user", User)


def test_an_endless_list_ends():
    endless = httpx2.Response(200, json=[], headers={"X-Next-Page": "2"})

    with ApiClient(HOST, Answers(endless)) as api, pytest.raises(PeerError, match="1000 pages"):
        list(api.iterate("/users", User))


def test_a_broken_authority_is_named():
    with pytest.raises(UserError, match="not valid PEM"):
        ApiClient(HOST._replace(ca_certificate="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"))
