"""How soon a leave that was taken back is gone: for new requests, and for an exec and a watch that run."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest

from tests.e2e.kubectl import read_line, run_pod, running
from tests.e2e.world import AGENT_CONFIGURATION, World, wait_for

pytestmark = pytest.mark.cluster

NEW_REQUESTS_S = 5
STREAMS_S = 10
DEVELOPER = 30
SHARED = """
user_access:
  access_as: {agent: {}}
  projects: [{id: ops/fleet}, {id: ops/shop}]
ci_access:
  projects: [{id: ops/shop}]
"""


@dataclass(frozen=True, slots=True)
class Leave:
    """Somebody's leave to use the agent, and how it is taken back."""

    bearer: str
    take_back: Callable[[], object]


class Office:
    """People and jobs of another project, which the agent is shared with."""

    def __init__(self, world: World) -> None:
        self.world = world
        group: Any = world.rest("GET", "/groups/ops")
        world.rest("POST", "/projects", {"name": "shop", "namespace_id": group["id"]}, expect=201)
        self.pod = run_pod(world)
        self.browser: dict[str, str] = {}
        """What a browser sends that is signed in."""
        self._names = iter(f"person-{number}" for number in range(1, 100))

    def token_revoked(self) -> Leave:
        user_id = self._member()
        token_id, bearer = self._token(user_id)
        return Leave(bearer, lambda: self._gone(f"/personal_access_tokens/{token_id}"))

    def membership_removed(self) -> Leave:
        user_id = self._member()
        _, bearer = self._token(user_id)
        return Leave(bearer, lambda: self._gone(f"/projects/ops%2Fshop/members/{user_id}"))

    def sharing_rule_removed(self) -> Leave:
        _, bearer = self._token(self._member())
        return Leave(bearer, lambda: self.world.push_configuration(AGENT_CONFIGURATION))

    def begin_session(self) -> tuple[dict[str, str], Callable[[], object]]:
        """What the browser of somebody new sends, and how the session ends."""
        _, bearer = self._token(self._member("fleet"))
        token = {"PRIVATE-TOKEN": bearer.rpartition(":")[2]}
        with self.world.client() as client:
            begun = client.post(self._sessions, headers=token)
        assert begun.status_code == 201, begun.text
        browser = {
            "Cookie": begun.headers["set-cookie"].partition(";")[0],
            "X-Csrf-Token": begun.json()["csrf_token"],
            "Gitlab-Agent-Id": str(self.world.agent_id),
            "Sec-Fetch-Site": "same-origin",
        }
        return browser, lambda: self._end_sessions(token)

    @property
    def _sessions(self) -> str:
        return f"{self.world.https}/api/v4/user/kas_session"

    def _end_sessions(self, token: dict[str, str]) -> None:
        with self.world.client() as client:
            assert client.delete(self._sessions, headers=token).status_code == 204

    def job_finished(self) -> Leave:
        job_id, bearer = self._job()
        return Leave(bearer, lambda: self._gone(f"/projects/ops%2Fshop/job_tokens/{job_id}"))

    def sharing_rule_for_jobs_removed(self) -> Leave:
        _, bearer = self._job()
        return Leave(bearer, lambda: self.world.push_configuration(AGENT_CONFIGURATION))

    def _job(self) -> tuple[int, str]:
        made: Any = self.world.rest(
            "POST", "/projects/ops%2Fshop/job_tokens", {"ref": "refs/heads/main"}, expect=201
        )
        return made["id"], f"ci:{self.world.agent_id}:{made['token']}"

    def _member(self, project: str = "shop") -> int:
        name = next(self._names)
        fields: dict[str, object] = {"name": name, "username": name, "email": f"{name}@example.com"}
        made: Any = self.world.rest("POST", "/users", fields, expect=201)
        member: dict[str, object] = {"user_id": made["id"], "access_level": DEVELOPER}
        self.world.rest("POST", f"/projects/ops%2F{project}/members", member, expect=201)
        return int(made["id"])

    def _token(self, user_id: int) -> tuple[int, str]:
        wanted: dict[str, object] = {"name": "k", "scopes": ["k8s_proxy"]}
        made: Any = self.world.rest("POST", f"/users/{user_id}/personal_access_tokens", wanted, expect=201)
        return made["id"], f"pat:{self.world.agent_id}:{made['token']}"

    def _gone(self, path: str) -> None:
        self.world.rest("DELETE", path, expect=204)

    def status(self, bearer: str) -> int:
        """Of a new request."""
        return self.status_with({"Authorization": f"Bearer {bearer}"})

    def status_with(self, headers: dict[str, str]) -> int:
        """Of a new request with these headers."""
        with self.world.client() as client:
            return client.get(f"{self.world.proxy}/version", headers=headers).status_code


@pytest.fixture(scope="module")
def office(fresh_world: World) -> Office:
    return Office(fresh_world)


LEAVES = [
    Office.token_revoked,
    Office.membership_removed,
    Office.sharing_rule_removed,
    Office.job_finished,
    Office.sharing_rule_for_jobs_removed,
]


@pytest.mark.parametrize("leave_of", LEAVES, ids=[leave.__name__ for leave in LEAVES])
def test_a_leave_that_is_taken_back_is_gone_in_seconds(office: Office, leave_of: Callable[[Office], Leave]):
    office.world.push_configuration(SHARED)
    leave = leave_of(office)
    wait_for(lambda: office.status(leave.bearer) == 200, told=office.world.up.tail)
    token = ["--token", leave.bearer]
    with (
        running(office.world, *token, "exec", "-i", office.pod, "--", "cat") as shell,
        running(office.world, *token, "get", "namespaces", "-w", "-o", "name") as watch,
    ):
        assert shell.stdin is not None
        shell.stdin.write(b"still here\n")
        shell.stdin.flush()
        assert read_line(shell) == "still here\n"
        assert read_line(watch).startswith("namespace/")
        leave.take_back()
        began = time.monotonic()
        refused_s = wait_for(lambda: office.status(leave.bearer) in {401, 403}, STREAMS_S)
        exec_s, watch_s = ended_after(shell, began), ended_after(watch, began)
    print(  # noqa: T201 - shown by pytest -s, and when the test fails
        f"{leave_of.__name__}: new requests refused after {refused_s:.1f} s, "
        f"exec cut after {exec_s:.1f} s, watch after {watch_s:.1f} s"
    )
    assert refused_s <= NEW_REQUESTS_S
    assert max(exec_s, watch_s) <= STREAMS_S


def test_a_session_that_ended_is_gone_in_seconds(office: Office):
    browser, end = office.begin_session()
    wait_for(lambda: office.status_with(browser) == 200, told=office.world.up.tail)
    watching = f"{office.world.proxy}/api/v1/namespaces?watch=true"
    with office.world.client() as client, client.stream("GET", watching, headers=browser) as watch:
        assert watch.status_code == 200
        events = watch.iter_raw()
        assert b'"ADDED"' in next(events)
        end()
        began = time.monotonic()
        with pytest.raises(httpx2.RemoteProtocolError):
            deque(events, maxlen=0)
        watch_s = time.monotonic() - began
    refused_s = watch_s + wait_for(lambda: office.status_with(browser) == 401, STREAMS_S)
    print(  # noqa: T201 - shown by pytest -s, and when the test fails
        f"session_ended: watch cut after {watch_s:.1f} s, new requests refused after at most {refused_s:.1f} s"
    )
    assert watch_s <= STREAMS_S
    assert refused_s <= NEW_REQUESTS_S


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"X-Csrf-Token": "guessed"}, 401),
        ({"Gitlab-Agent-Id": "999999"}, 401),
        ({"Authorization": "Bearer pat:1:x"}, 401),
        ({}, 200),
    ],
)
def test_a_cookie_counts_on_the_hubs_pages_only(office: Office, changes: dict[str, str], status: int):
    if not office.browser:
        office.browser, _ = office.begin_session()
        wait_for(lambda: office.status_with(office.browser) == 200, told=office.world.up.tail)
    assert office.status_with(office.browser | changes) == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [("its own", 101), ("", 403), ("null", 403), ("https://evil.example", 403), ("http://127.0.0.1", 403)],
)
def test_a_shell_in_a_browser_needs_the_hubs_page(office: Office, origin: str, status: int):
    browser, _ = office.begin_session()
    wait_for(lambda: office.status_with(browser) == 200, told=office.world.up.tail)
    asked = {
        "command": "true",
        "stdout": "1",
        "gitlab-agent-id": browser["Gitlab-Agent-Id"],
        "gitlab-csrf-token": browser["X-Csrf-Token"],
    }
    opening = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
        "Cookie": browser["Cookie"],
    }
    if origin:
        opening["Origin"] = office.world.https if origin == "its own" else origin
    proxy = urlsplit(office.world.proxy)
    context = ssl.create_default_context(cafile=office.world.ca_file)
    connection = http.client.HTTPSConnection(proxy.netloc, timeout=10, context=context)
    path = f"{proxy.path}/api/v1/namespaces/default/pods/{office.pod}/exec?{urlencode(asked)}"
    try:
        connection.request("GET", path, headers=opening)
        answer = connection.getresponse()
        assert answer.status == status, answer.read(500)
    finally:
        connection.close()


def ended_after(process: subprocess.Popen[bytes], began: float) -> float:
    """When it ended, in seconds."""
    process.wait(STREAMS_S * 2)
    return time.monotonic() - began
