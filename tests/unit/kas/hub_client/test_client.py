"""What kas believes of the Git side's answers, and what it does when there is none."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import msgspec
import pytest

from kasbah.kas.hub_client import errors, jwt
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.hub_client.module_request import checked
from kasbah.kas.hub_client.records import (
    AS_JOB,
    AccessAsAgent,
    AccessAsUser,
    AgentInfo,
    Basis,
    ProjectInfo,
    Ref,
    RepositoryHead,
    RolesAt,
    UsageMetrics,
)
from kasbah.kas.hub_client.settings import HubClientSettings
from kasbah.kit.backoff import BackoffSettings
from kasbah.kit.secrets import Secret
from tests.doubles.fake_hub import COMMIT, SECRET, FakeHub, agent_info, json_answer, project_info, proxy_user

TOKEN = Secret("glagent-good")
PAT = Secret("glpat-x")
AT_ONCE = BackoffSettings(initial_s=0, maximum_s=0, reset_s=1)


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def client_of(hub: FakeHub, elapsed: Clock | None = None) -> HubClient:
    return HubClient(hub.client(), SECRET, clock=Clock(), elapsed=elapsed or Clock(), retry=AT_ONCE)


@pytest.mark.asyncio
async def test_a_token_gives_its_agent():
    info = await client_of(FakeHub()).agent_info(TOKEN)
    assert info == AgentInfo(
        agent_id=7, project_id=31, agent_name="prod-eu", project_path="ops/fleet", default_branch="main"
    )


@pytest.mark.asyncio
async def test_ids_written_as_strings_are_understood():
    hub = FakeHub()
    hub.answer_with("agent_info", json_answer(200, agent_info(agent_id="7", project_id="31")))
    assert (await client_of(hub).agent_info(TOKEN)).agent_id == 7


@pytest.mark.asyncio
async def test_an_agent_is_remembered_for_a_few_seconds():
    hub, clock = FakeHub(), Clock()
    client = client_of(hub, clock)
    await client.agent_info(TOKEN)
    await client.agent_info(TOKEN)
    assert len(hub.requests) == 1
    clock.now += HubClientSettings().agent_info_ttl_s
    await client.agent_info(TOKEN)
    assert len(hub.requests) == 2


@pytest.mark.asyncio
async def test_a_clock_that_is_set_back_lets_nobody_live_longer():
    hub, wall, elapsed = FakeHub(), Clock(), Clock(0)
    client = HubClient(hub.client(), SECRET, clock=wall, elapsed=elapsed, retry=AT_ONCE)
    await client.agent_info(TOKEN)
    wall.now -= 3600
    elapsed.now += HubClientSettings().agent_info_ttl_s
    await client.agent_info(TOKEN)
    assert len(hub.requests) == 2


@pytest.mark.asyncio
async def test_a_fresh_question_sees_a_revoked_token_at_once():
    hub = FakeHub()
    client = client_of(hub)
    await client.agent_info(TOKEN)
    hub.token = "glagent-other"
    with pytest.raises(errors.HubUnauthenticatedError):
        await client.agent_info(TOKEN, fresh=True)
    with pytest.raises(errors.HubUnauthenticatedError):
        await client.agent_info(TOKEN)


@pytest.mark.asyncio
async def test_a_refusal_is_remembered_shortly():
    hub, clock = FakeHub(), Clock()
    client = client_of(hub, clock)
    for _ in range(3):
        with pytest.raises(errors.HubUnauthenticatedError):
            await client.agent_info(Secret("glagent-bad"))
    assert len(hub.requests) == 1
    clock.now += 2
    with pytest.raises(errors.HubUnauthenticatedError):
        await client.agent_info(Secret("glagent-bad"))
    assert len(hub.requests) == 2


@pytest.mark.asyncio
async def test_a_hub_that_is_away_is_not_remembered():
    hub = FakeHub()
    hub.answer_with("agent_info", httpx2.ConnectError("refused"))
    client = client_of(hub)
    with pytest.raises(errors.HubUnavailableError, match="refused") as caught:
        await client.agent_info(TOKEN)
    assert caught.value.retryable
    assert (await client.agent_info(TOKEN)).agent_id == 7


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, errors.HubUnauthenticatedError),
        (403, errors.HubForbiddenError),
        (404, errors.HubNotFoundError),
        (302, errors.HubContractError),
        (204, errors.HubContractError),
        (418, errors.HubContractError),
        (500, errors.HubUnavailableError),
        (429, errors.HubUnavailableError),
    ],
)
@pytest.mark.asyncio
async def test_a_status_has_one_meaning(status: int, error: type[Exception]):
    hub = FakeHub()
    hub.answer_with("agent_info", json_answer(status, {"message": "no"}))
    with pytest.raises(error):
        await client_of(hub).agent_info(TOKEN)


@pytest.mark.asyncio
async def test_a_wrong_shared_secret_is_not_blamed_on_the_agent():
    hub = FakeHub()
    hub.answer_with("agent_info", json_answer(401, {"message": "KAS JWT authentication invalid"}))
    with pytest.raises(errors.HubContractError, match="same secret"):
        await client_of(hub).agent_info(TOKEN)
    assert (await client_of(hub).agent_info(TOKEN)).agent_id == 7


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        agent_info(agent_id=0),
        agent_info(agent_id=-1),
        agent_info(project_id=None),
        agent_info(agent_name=""),
        agent_info(agent_name="../../etc"),
        agent_info(agent_name="a" * 64),
        agent_info(default_branch=""),
        agent_info(gitaly_repository={}),
        agent_info(gitaly_repository={"gl_project_path": ""}),
    ],
)
@pytest.mark.asyncio
async def test_an_incomplete_agent_is_no_agent(document: Any):
    hub = FakeHub()
    hub.answer_with("agent_info", json_answer(200, document))
    with pytest.raises(errors.HubContractError):
        await client_of(hub).agent_info(TOKEN)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"null", b"[" * 100_000, b'"' + b"x" * 2_000_000])
@pytest.mark.asyncio
async def test_an_answer_that_is_no_document_is_refused(body: bytes):
    hub = FakeHub()
    hub.answer_with("agent_info", httpx2.Response(200, content=body))
    with pytest.raises(errors.HubContractError):
        await client_of(hub).agent_info(TOKEN)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX: y", "ü", "x" * 1_000_000])
@pytest.mark.asyncio
async def test_what_cannot_be_a_token_is_refused_unasked(token: str):
    hub = FakeHub()
    with pytest.raises(errors.HubUnauthenticatedError):
        await client_of(hub).agent_info(Secret(token))
    with pytest.raises(errors.HubUnauthenticatedError):
        await client_of(hub).authorize_proxy_user(7, Secret(token))
    assert hub.requests == []


@pytest.mark.asyncio
async def test_a_user_may_act_as_the_agent():
    user = await client_of(FakeHub()).authorize_proxy_user(7, PAT)
    assert (user.username, user.user_id, user.config_project_id) == ("mia", 4, 31)
    assert user.access_as == AccessAsAgent()


@pytest.mark.asyncio
async def test_a_user_may_act_as_themselves_with_their_roles():
    hub = FakeHub()
    roles = {"projects": [{"id": 40, "roles": ["guest", "developer"]}], "groups": []}
    hub.answer_with("authorize_proxy_user", json_answer(200, proxy_user(access_as={"user": roles})))
    user = await client_of(hub).authorize_proxy_user(7, PAT)
    assert user.access_as == AccessAsUser(projects=(RolesAt(id=40, roles=("guest", "developer")),))


@pytest.mark.parametrize(
    "document",
    [
        {},
        proxy_user(access_as=None),
        proxy_user(access_as={}),
        proxy_user(access_as={"agent": {}, "user": {"projects": [{"id": 1, "roles": ["owner"]}]}}),
        proxy_user(access_as={"robot": {}}),
        proxy_user(access_as={"agent": {"really": True}}),
        proxy_user(access_as={"user": {}}),
        proxy_user(access_as={"user": {"projects": [], "groups": []}}),
        proxy_user(access_as={"user": {"projects": [{"id": 1, "roles": []}]}}),
        proxy_user(access_as={"user": {"projects": [{"id": 1}]}}),
        proxy_user(access_as={"user": {"projects": [{"id": 0, "roles": ["owner"]}]}}),
        proxy_user(access_as={"user": {"teams": [{"id": 1, "roles": ["owner"]}]}}),
        proxy_user(user={"id": 4, "username": ""}),
        proxy_user(user={"id": 4}),
        proxy_user(user={"username": "mia"}),
        proxy_user(agent={"id": 8, "config_project": {"id": 31}}),
        proxy_user(agent={"id": 7}),
    ],
)
@pytest.mark.asyncio
async def test_an_answer_that_is_not_whole_allows_nothing(document: Any):
    hub = FakeHub()
    hub.answer_with("authorize_proxy_user", json_answer(200, document))
    with pytest.raises(errors.HubContractError):
        await client_of(hub).authorize_proxy_user(7, PAT)


@pytest.mark.asyncio
async def test_gitlabs_400_for_an_unknown_token_is_an_authentication_failure():
    hub = FakeHub()
    message = "400 Bad request - Unable to get user from request data"
    hub.answer_with("authorize_proxy_user", json_answer(400, {"message": message}))
    with pytest.raises(errors.HubUnauthenticatedError, match="Unable to get user"):
        await client_of(hub).authorize_proxy_user(7, PAT)


@pytest.mark.asyncio
async def test_a_basis_comes_with_the_person_and_what_is_none_is_not_believed():
    hub = FakeHub()
    basis = {"project_path": "ops/fleet", "file": "f", "entry": "user_access.groups[0]", "line": 9}
    hub.answer_with("authorize_proxy_user", json_answer(200, proxy_user(basis=basis)))
    found = (await client_of(hub).authorize_proxy_user(7, PAT)).basis
    assert found == Basis(project_path="ops/fleet", file="f", entry="user_access.groups[0]", line=9)
    for other in ("x", 3, {"file": "f"}, None):
        hub.answer_with("authorize_proxy_user", json_answer(200, proxy_user(basis=other)))
        assert (await client_of(hub).authorize_proxy_user(7, PAT)).basis is None


@pytest.mark.asyncio
async def test_a_refusal_brings_its_status_and_the_reason_if_there_is_one():
    hub = FakeHub()
    hub.answer_with("authorize_proxy_user", json_answer(403, {"message": "403", "reason": "a\nReporter"}))
    with pytest.raises(errors.HubForbiddenError) as caught:
        await client_of(hub).authorize_proxy_user(7, PAT)
    assert (caught.value.status, caught.value.reason) == (403, "aReporter")


@pytest.mark.asyncio
async def test_a_session_is_told_by_its_cookie_and_csrf_token():
    hub = FakeHub()
    cookie = "aB+/=" * 20 + "--x y"
    user = await client_of(hub).authorize_proxy_session(7, Secret(cookie), Secret("csrf"))
    assert user.username == "mia"
    assert msgspec.json.decode(hub.requests[0].content) == {
        "agent_id": 7,
        "access_type": "session_cookie",
        "access_key": cookie,
        "csrf_token": "csrf",
    }


@pytest.mark.parametrize(
    ("cookie", "csrf"), [("", "x"), ("a\n", "x"), ("\ufffd", "x"), ("c", ""), ("c", "a b")]
)
@pytest.mark.asyncio
async def test_what_cannot_be_a_session_is_refused_unasked(cookie: str, csrf: str):
    hub = FakeHub()
    with pytest.raises(errors.HubUnauthenticatedError):
        await client_of(hub).authorize_proxy_session(7, Secret(cookie), Secret(csrf))
    assert hub.requests == []


@pytest.mark.asyncio
async def test_a_job_is_asked_about_with_its_own_token_and_nothing_of_kas():
    hub = FakeHub()
    job = await client_of(hub).authorize_proxy_job(7, Secret("glcbt-running"))
    assert (job.job_id, job.agent_id, job.access_as) == (9001, 7, AS_JOB)
    (request,) = hub.requests
    assert (request.method, request.url.path) == ("GET", "/api/v4/job/allowed_agents")
    assert request.headers["job-token"] == "glcbt-running"
    assert jwt.HEADER.lower() not in request.headers
    assert "authorization" not in request.headers


@pytest.mark.asyncio
async def test_a_job_that_is_over_is_unauthenticated():
    with pytest.raises(errors.HubUnauthenticatedError) as caught:
        await client_of(FakeHub()).authorize_proxy_job(7, Secret("glcbt-finished"))
    assert caught.value.status == 401


@pytest.mark.asyncio
async def test_an_idempotent_question_is_asked_again():
    hub = FakeHub()
    hub.answer_with("authorize_proxy_user", httpx2.ReadTimeout("slow"), httpx2.Response(503))
    await client_of(hub).authorize_proxy_user(7, PAT)
    assert len(hub.requests) == 3


@pytest.mark.asyncio
async def test_counters_are_sent_once_and_whoever_sends_them_again_says_so():
    hub = FakeHub()
    hub.answer_with("usage_metrics", httpx2.Response(503))
    metrics = UsageMetrics(report_id="a", counters={"k8s_api_proxy_request": 3})
    with pytest.raises(errors.HubUnavailableError):
        await client_of(hub).usage_metrics(metrics)
    assert [msgspec.json.decode(request.content) for request in hub.requests] == [
        {"report_id": "a", "counters": {"k8s_api_proxy_request": 3}, "unique_counters": {}}
    ]
    await client_of(hub).usage_metrics(metrics)


@pytest.mark.asyncio
async def test_a_configuration_is_told_whole():
    hub = FakeHub()
    configuration, lines = {"user_access": {"groups": [{"id": "ops"}]}}, {"user_access.groups[0]": 3}
    await client_of(hub).agent_configuration(7, configuration, lines=lines, commit_id=COMMIT)
    assert hub.configurations == [
        {"agent_id": 7, "agent_config": configuration, "agent_config_lines": lines, "commit_id": COMMIT}
    ]


@pytest.mark.asyncio
async def test_a_deleted_agents_configuration_is_no_error():
    hub = FakeHub()
    hub.answer_with("agent_configuration", json_answer(404, {"message": "404 Not found"}))
    await client_of(hub).agent_configuration(7, {})


@pytest.mark.asyncio
async def test_a_repository_has_a_head_or_is_empty():
    hub = FakeHub()
    client = client_of(hub)
    assert await client.repository_head(31) == RepositoryHead(default_branch="main", commit_id=COMMIT)
    hub.commit_id = None
    assert await client.repository_head(31) == RepositoryHead(default_branch="main", commit_id=None)


@pytest.mark.asyncio
async def test_a_file_is_read_and_a_missing_one_is_none():
    client = client_of(FakeHub(files={"a b/ü": b"\x00x"}))
    assert await client.repository_file(31, COMMIT, "a b/ü", max_bytes=10) == b"\x00x"
    assert await client.repository_file(31, COMMIT, "gone", max_bytes=10) is None


@pytest.mark.asyncio
async def test_a_file_over_the_limit_is_refused_even_if_it_is_sent():
    hub = FakeHub(files={"f": b"x" * 11})
    client = client_of(hub)
    with pytest.raises(errors.FileTooLargeError):
        await client.repository_file(31, COMMIT, "f", max_bytes=10)
    hub.answer_with("repository_file", httpx2.Response(200, content=b"x" * 11))
    with pytest.raises(errors.FileTooLargeError):
        await client.repository_file(31, COMMIT, "f", max_bytes=10)


@pytest.mark.asyncio
async def test_a_folder_is_no_file_and_a_missing_project_is_not_a_missing_file():
    hub = FakeHub()
    hub.answer_with("repository_file", json_answer(422, {}))
    client = client_of(hub)
    with pytest.raises(errors.NotARegularFileError):
        await client.repository_file(31, COMMIT, "f", max_bytes=10)
    for project_id, commit_id in ((32, COMMIT), (31, "b" * 40)):
        with pytest.raises(errors.HubNotFoundError):
            await client.repository_file(project_id, commit_id, "f", max_bytes=10)


@pytest.mark.asyncio
async def test_a_ref_is_found_absent_or_not_pushed_to_yet():
    hub = FakeHub(refs={("tag", "v1"): "b" * 40})
    client = client_of(hub)
    assert await client.repository_ref(31) == COMMIT
    assert await client.repository_ref(31, Ref("tag", "v1")) == "b" * 40
    assert await client.repository_ref(31, Ref("commit", COMMIT)) == COMMIT
    with pytest.raises(errors.RefNotFoundError):
        await client.repository_ref(31, Ref("branch", "v1"))
    hub.commit_id = None
    assert await client.repository_ref(31) is None


@pytest.mark.asyncio
async def test_a_tree_lists_files_below_a_directory():
    client = client_of(FakeHub(files={"a/b.yaml": b"x", "a/c/d.yaml": b"", "e": b""}, links={"a/l": b"e"}))
    listed = await client.repository_tree(31, COMMIT, path="a", depth=1)
    assert [(file.path, file.size, file.is_regular) for file in listed] == [
        ("a/b.yaml", 1, True),
        ("a/l", 1, False),
    ]
    assert len(await client.repository_tree(31, COMMIT)) == 4


@pytest.mark.asyncio
async def test_a_tree_that_is_too_large_is_refused():
    hub = FakeHub()
    hub.answer_with("repository_tree", json_answer(413, {"message": "more than 10000 files"}))
    with pytest.raises(errors.TooManyFilesError, match="more than 10000"):
        await client_of(hub).repository_tree(31, COMMIT)


@pytest.mark.parametrize("body", [{"error": "404 Not Found"}, {"message": "404 Not found"}, {}])
@pytest.mark.parametrize("route", ["repository_head", "repository_ref", "repository_tree", "repository_file"])
@pytest.mark.asyncio
async def test_a_gitlab_that_shows_no_repositories_is_called_that(route: str, body: dict[str, str]):
    hub = FakeHub()
    hub.answer_with(route, json_answer(404, body))
    client = client_of(hub)
    questions = {
        "repository_head": lambda: client.repository_head(31),
        "repository_ref": lambda: client.repository_ref(31),
        "repository_tree": lambda: client.repository_tree(31, COMMIT),
        "repository_file": lambda: client.repository_file(31, COMMIT, "f", max_bytes=10),
    }
    with pytest.raises(errors.NoRepositoryRoutesError, match=f"has no route {route}"):
        await questions[route]()


@pytest.mark.asyncio
async def test_a_project_is_known_by_its_path():
    hub = FakeHub(projects={"ops/fleet": 31, "open/source": 40})
    info = await client_of(hub).project_info(TOKEN, "open/source")
    assert info == ProjectInfo(project_id=40, project_path="open/source", default_branch="main")


@pytest.mark.parametrize("route", ["project_info", "verify_project_access"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, errors.HubUnauthenticatedError),
        (403, errors.HubForbiddenError),
        (404, errors.HubNotFoundError),
        (302, errors.HubContractError),
        (503, errors.HubUnavailableError),
    ],
)
@pytest.mark.asyncio
async def test_a_project_that_an_agent_may_not_read_is_refused(
    route: str, status: int, error: type[Exception]
):
    hub = FakeHub()
    hub.answer_with(route, json_answer(status, {"message": "no"}))
    with pytest.raises(error):
        await getattr(client_of(hub), route)(TOKEN, "ops/fleet")
    assert len(hub.requests) == 1  # asked once, whatever it is


@pytest.mark.parametrize(
    ("route", "good_s", "bad_s"), [("project_info", 60, 10), ("verify_project_access", 300, 60)]
)
@pytest.mark.asyncio
async def test_what_an_agent_may_read_is_remembered_and_refusals_shorter(
    route: str, good_s: float, bad_s: float
):
    hub, clock = FakeHub(), Clock()
    client = client_of(hub, clock)

    async def asks(path: str) -> int:
        before = len(hub.requests)
        with contextlib.suppress(errors.HubNotFoundError):
            await getattr(client, route)(TOKEN, path)
        return len(hub.requests) - before

    assert [await asks("ops/fleet"), await asks("ops/fleet"), await asks("no"), await asks("no")] == [
        1,
        0,
        1,
        0,
    ]
    clock.now += bad_s
    assert [await asks("ops/fleet"), await asks("no")] == [0, 1]
    clock.now += good_s - bad_s
    assert await asks("ops/fleet") == 1


@pytest.mark.parametrize("missing", ["project_id", "default_branch", "gitaly_repository"])
@pytest.mark.asyncio
async def test_an_incomplete_project_is_no_project(missing: str):
    hub = FakeHub()
    document = {name: value for name, value in project_info(31, "ops/fleet").items() if name != missing}
    hub.answer_with("project_info", json_answer(200, document))
    with pytest.raises(errors.HubContractError):
        await client_of(hub).project_info(TOKEN, "ops/fleet")


@pytest.mark.asyncio
async def test_a_module_is_asked_as_the_agent_and_its_answer_comes_as_it_is():
    hub = FakeHub()
    hub.answer_with("modules/a/x y", httpx2.Response(418, headers={"X-A": "b"}, content=b"tea"))
    request = checked("PUT", "a", "/x y", {"q": ["1", "2"]}, {"Content-Type": ["a/b"]})
    async with client_of(hub).module_request(TOKEN, request, pieces(b"1", b"2")) as answer:
        body = b"".join([chunk async for chunk in answer.chunks()])
    assert (answer.status, dict(answer.headers)[b"X-A"], body) == (418, b"b", b"tea")
    sent = hub.requests[0]
    assert (sent.method, sent.url.raw_path) == ("PUT", b"/api/v4/internal/kubernetes/modules/a/x%20y?q=1&q=2")
    assert sent.headers["authorization"] == "Bearer glagent-good"
    assert "gitlab-kas-api-request" in sent.headers
    assert await sent.aread() == b"12"


@pytest.mark.asyncio
async def test_a_module_that_is_away_is_said_to_be():
    hub = FakeHub()
    hub.answer_with("modules/a/", httpx2.ConnectError("refused"))
    request = checked("GET", "a", "/", {}, {})
    with pytest.raises(errors.HubUnavailableError, match="refused"):
        async with client_of(hub).module_request(TOKEN, request, None):
            pass


@pytest.mark.asyncio
async def test_what_one_answer_sets_is_nothing_to_the_next_question():
    hub = FakeHub()
    cookie = {"Set-Cookie": "session=stolen; Path=/"}
    hub.answer_with("agent_info", httpx2.Response(200, json=agent_info(), headers=cookie))
    client = client_of(hub)
    await client.agent_info(TOKEN)
    await client.agent_info(TOKEN, fresh=True)
    assert "cookie" not in hub.requests[1].headers


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
