"""Which request is whose, and what each refusal looks like."""

from __future__ import annotations

import base64
import contextlib

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from kasbah.gitrepo.process import GitService
from kasbah.hub.errors import AccountBlockedError, DatabaseUnavailableError
from kasbah.hub.identity import Authenticated
from kasbah.hub.repositories.git_http import NotGitError, git_app, parse_request
from kasbah.hub.repositories.store import RepositoryStore
from kasbah.kit.secrets import Secret
from tests.doubles.asgi_client import AsgiClient, git_scope
from tests.doubles.git_accounts import FakeAccounts, FakeKasClient, FakeProjects, make_project, make_user

INFO = "/group/sub/app.git/info/refs"
UPLOAD = "service=git-upload-pack"


def parse(path: str, **options):
    return parse_request(Request(git_scope(path, **options)))


def basic(token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"user:{token}".encode()).decode()}


@pytest.mark.parametrize("service", list(GitService))
def test_the_listing_of_refs_names_its_service(service):
    ask = parse(INFO, query=f"service={service}")
    assert (ask.project_path, ask.service, ask.advertise, ask.redirect) == (
        "group/sub/app",
        service,
        True,
        "",
    )


@pytest.mark.parametrize("service", list(GitService))
@pytest.mark.parametrize("suffix", [".git", ""])
def test_a_request_for_packs_is_taken_with_and_without_the_suffix(service, suffix):
    ask = parse(f"/group/app{suffix}/{service}", method="POST")
    assert (ask.project_path, ask.service, ask.advertise) == ("group/app", service, False)


def test_a_listing_without_the_suffix_is_redirected():
    ask = parse("/group/app/info/refs", query=UPLOAD)
    assert ask.redirect == "/group/app.git/info/refs?service=git-upload-pack"


@pytest.mark.parametrize(
    ("path", "query", "method", "status"),
    [
        (INFO, "", "GET", 403),
        (INFO, "service=git-archive", "GET", 403),
        (INFO, "&".join("abcdefghijkl"), "GET", 400),
        (INFO, UPLOAD, "POST", 405),
        ("/group/app.git/git-upload-pack", "", "GET", 405),
        ("/group/app.git/HEAD", "", "GET", 403),
        ("/app.git/info/refs", UPLOAD, "GET", 404),
        ("/group/../app.git/info/refs", UPLOAD, "GET", 404),
        ("/group%2Fapp.git/info/refs", UPLOAD, "GET", 404),
        ("/group/--upload-pack=id/info/refs", UPLOAD, "GET", 404),
        ("/group/app.git/info/refs/", UPLOAD, "GET", 404),
        ("/" + "a/" * 600 + "app.git/info/refs", UPLOAD, "GET", 404),
        ("/", "", "GET", 404),
    ],
)
def test_what_is_not_git_is_refused_before_anything_is_looked_up(path, query, method, status):
    with pytest.raises(NotGitError) as caught:
        parse(path, query=query, method=method)
    assert caught.value.status == status


class Hub:
    """The application over fakes, without a repository on disk."""

    def __init__(self, root) -> None:
        self.accounts, self.projects = FakeAccounts(), FakeProjects()
        self.accounts.grant("glpat-owner", make_user(), "api")
        self.projects.add(make_project())
        self.projects.roles[1, 7] = 50
        self.app = git_app(RepositoryStore(root), self.accounts, self.projects, FakeKasClient())

    async def ask(self, path: str, **options) -> AsgiClient:
        client = AsgiClient()
        await client.ask(self.app, git_scope(path, **options))
        return client


@pytest.fixture
def hub(tmp_path) -> Hub:
    return Hub(tmp_path)


@pytest.mark.asyncio
@pytest.mark.parametrize("headers", [{}, basic("glpat-wrong"), {"Authorization": "Bearer x"}])
async def test_who_is_unknown_is_asked_for_credentials(hub, headers):
    answer = await hub.ask(INFO, query=UPLOAD, headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="GitLab"'
    assert answer.body.startswith(b"HTTP Basic: Access denied.")


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ["Basic", "Basic !", "Basic /////w==", "basic dXNlcg=="])
async def test_credentials_without_a_token_are_unknown(hub, value):
    answer = await hub.ask(INFO, query=UPLOAD, headers={"Authorization": value})
    assert answer.status == 401


@pytest.mark.asyncio
async def test_a_project_that_is_absent_is_hidden_from_the_known(hub):
    answer = await hub.ask("/group/absent.git/info/refs", query=UPLOAD, headers=basic("glpat-owner"))
    assert (answer.status, answer.body.startswith(b"The project you were looking for")) == (404, True)


@pytest.mark.asyncio
async def test_a_blocked_account_is_told_so(hub):
    class Blocking(FakeAccounts):
        async def authenticate_pat(self, secret: Secret) -> Authenticated:
            raise AccountBlockedError

    app = git_app(hub.app._repositories, Blocking(), hub.projects, FakeKasClient())
    client = AsgiClient()
    await client.ask(app, git_scope(INFO, query=UPLOAD, headers=basic("glpat-owner")))
    assert (client.status, client.body) == (403, b"Your account has been blocked.\n")


@pytest.mark.asyncio
async def test_a_database_that_is_away_is_a_matter_of_time_and_told_without_its_address(hub):
    class Away(FakeAccounts):
        async def authenticate_pat(self, secret: Secret) -> Authenticated:
            raise DatabaseUnavailableError("connect call failed ('10.0.0.3', 5432)")

    client = AsgiClient()
    app = git_app(hub.app._repositories, Away(), hub.projects, FakeKasClient())
    with structlog.testing.capture_logs() as logs:
        await client.ask(app, git_scope(INFO, query=UPLOAD, headers=basic("glpat-owner")))
    assert (client.status, client.headers["retry-after"], b"10.0.0.3" in client.body) == (503, "10", False)
    assert "10.0.0.3" in logs[0]["error"]


@pytest.mark.asyncio
async def test_another_content_type_is_refused(hub):
    path = "/group/sub/app.git/git-upload-pack"
    answer = await hub.ask(path, method="POST", headers=basic("glpat-owner"))
    assert answer.status == 415


@pytest.mark.asyncio
async def test_a_redirect_needs_no_credentials_and_tells_nothing(hub):
    answer = await hub.ask("/any/thing/info/refs", query=UPLOAD)
    assert (answer.status, answer.headers["location"]) == (301, f"/any/thing.git/info/refs?{UPLOAD}")


@pytest.mark.asyncio
async def test_only_a_token_that_was_found_good_makes_a_client_known(hub):
    for headers, known in ((basic("glpat-owner"), {"authenticated": True}), (basic("glpat-wrong"), {})):
        scope = {**git_scope("/group/absent.git/info/refs", query=UPLOAD, headers=headers), "state": {}}
        await AsgiClient().ask(hub.app, scope)
        assert scope["state"] == known


@pytest.mark.asyncio
async def test_a_client_that_left_is_no_error(hub):
    client = AsgiClient(refuses=True)
    await client.ask(hub.app, git_scope(INFO, query=UPLOAD))
    assert client.sent == []


@pytest.mark.asyncio
async def test_other_scopes_than_http_are_passed_over(hub):
    client = AsgiClient()
    await client.ask(hub.app, {"type": "lifespan"})
    assert client.sent == []


@given(st.text(max_size=60), st.text(max_size=40), st.sampled_from(["GET", "POST", "DELETE"]))
def test_whatever_is_asked_names_a_plain_project_or_is_refused(path, query, method):
    scope = git_scope("/", method=method, query="")
    scope |= {"path": path, "raw_path": path.encode("utf-8", "surrogatepass"), "query_string": query.encode()}
    with contextlib.suppress(NotGitError):
        ask = parse_request(Request(scope))
        assert ".." not in ask.project_path.split("/")
        assert not ask.project_path.startswith(("-", "/", "."))
