"""Who may use an agent and whom the cluster sees, asked of the API server itself, through the tunnel."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.world import Program, World, free_port

pytestmark = pytest.mark.cluster

REPORTER, DEVELOPER, MAINTAINER = 20, 30, 40
CONFIGURATION = """
user_access:
  access_as: {user: {}}
  projects: [{id: ops/fleet}]
  groups: [{id: ops}]
ci_access:
  projects:
    - id: ops/shop
      access_as: {ci_job: {}}
      environments: [production, review/*]
  groups:
    - id: ops
      access_as:
        impersonate:
          username: deployer
          uid: d-1
          groups: [deployers]
          extra: [{key: example.com/team, val: [a, b]}]
"""
PREFIX = "agent.gitlab.com/"
CONFIG_MAPS = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "seers"},
} | {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]}


@dataclass(frozen=True, slots=True)
class Person:
    """A user with a token for the proxy."""

    id: int
    name: str
    token: str


@dataclass(frozen=True, slots=True)
class Job:
    """A CI job that runs."""

    id: int
    pipeline_id: int
    token: str


class Office:
    """A world with a second agent, whose configuration impersonates, and people with and without roles."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.group_id = self._id_of("/groups/ops")
        self.project_id = self._id_of("/projects/ops%2Ffleet")
        self.project_ids = {"fleet": self.project_id} | {
            name: self._project(name) for name in ("shop", "tools")
        }
        self.agent_id, self.agentk = self._second_agent()
        self.developer = self.person("dora", DEVELOPER)
        self.maintainer = self.person("mia", MAINTAINER)
        self.reporter = self.person("rita", REPORTER)
        self.stranger = self.person("sam", None)

    def _id_of(self, path: str) -> int:
        found = self.world.rest("GET", path)
        assert isinstance(found, dict)
        return int(found["id"])

    def _second_agent(self) -> tuple[int, Program]:
        world = self.world
        agent_id = world.register("people")
        world.new_token(agent_id, "people-token")
        world.push_configuration(CONFIGURATION, "people")
        return agent_id, world.new_agentk("agentk-people", free_port(), known_by="people-token")

    def _project(self, name: str) -> int:
        fields: dict[str, object] = {"name": name, "namespace_id": self.group_id}
        made: Any = self.world.rest("POST", "/projects", fields, expect=201)
        return int(made["id"])

    def job(self, project: str, environment: str | None = None) -> Job:
        """A job of this project on its main branch."""
        fields: dict[str, object] = {"ref": "refs/heads/main"}
        if environment is not None:
            fields["environment"] = environment
        path = f"/projects/{self.project_ids[project]}/job_tokens"
        made: Any = self.world.rest("POST", path, fields, expect=201)
        return Job(made["id"], made["pipeline_id"], made["token"])

    def person(self, name: str, level: int | None) -> Person:
        """Somebody new, with this role in the group."""
        fields: dict[str, object] = {"name": name, "username": name, "email": f"{name}@example.com"}
        made: Any = self.world.rest("POST", "/users", fields, expect=201)
        if level is not None:
            member: dict[str, object] = {"user_id": made["id"], "access_level": level}
            self.world.rest("POST", "/groups/ops/members", member, expect=201)
        return Person(made["id"], name, self.token(made["id"], "k8s_proxy"))

    def token(self, user_id: int, scope: str) -> str:
        path = f"/users/{user_id}/personal_access_tokens"
        made: Any = self.world.rest("POST", path, {"name": "k", "scopes": [scope]}, expect=201)
        return str(made["token"])

    def bearer(self, person: Person, agent_id: int | None = None) -> str:
        return f"pat:{agent_id or self.agent_id}:{person.token}"

    def who(self, bearer: str) -> dict[str, Any]:
        """Whom the API server saw."""
        done = self.world.kubectl("--token", bearer, "auth", "whoami", "-o", "json")
        seen: dict[str, Any] = json.loads(done.stdout)["status"]["userInfo"]
        return seen

    def ask(self, bearer: str, path: str = "/version", **headers: str) -> tuple[int, dict[str, Any], Any]:
        """Status, headers and document of one GET."""
        with self.world.client() as client:
            answer = client.get(
                self.world.proxy + path, headers={"Authorization": f"Bearer {bearer}"} | headers
            )
        return answer.status_code, dict(answer.headers), answer.json()


@pytest.fixture(scope="module")
def office(fresh_world: World) -> Iterator[Office]:
    made = Office(fresh_world)
    made.agentk.start()
    try:
        until_allowed(made, made.developer)
        yield made
    finally:
        made.agentk.kill()


def until_allowed(office: Office, person: Person) -> None:
    """Until this person gets in: the agent's first look tells the hub what its configuration grants."""
    deadline = time.monotonic() + 10
    while (answer := office.ask(office.bearer(person)))[0] != 200:
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)  # noqa: TID251 - real processes, nothing to wait on


def test_a_person_is_impersonated_with_gitlabs_strings(office: Office):
    roles = ("guest", "reporter", "developer")
    assert office.who(office.bearer(office.developer)) == {
        "username": "gitlab:user:dora",
        "groups": [
            "gitlab:user",
            *(f"gitlab:project_role:{office.project_id}:{role}" for role in roles),
            *(f"gitlab:group_role:{office.group_id}:{role}" for role in roles),
            "system:authenticated",
        ],
        "extra": {
            f"{PREFIX}access_type": ["personal_access_token"],
            f"{PREFIX}config_project_id": [str(office.project_id)],
            f"{PREFIX}id": [str(office.agent_id)],
            f"{PREFIX}username": ["dora"],
        },
    }


def test_a_maintainer_has_the_lower_roles_too(office: Office):
    groups = office.who(office.bearer(office.maintainer))["groups"]
    assert f"gitlab:group_role:{office.group_id}:maintainer" in groups
    assert f"gitlab:group_role:{office.group_id}:developer" in groups
    assert f"gitlab:group_role:{office.group_id}:owner" not in groups


def test_access_as_agent_acts_as_the_agent(office: Office):
    whoami = ["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]
    its_own = office.world.cluster.kubectl(*whoami).stdout
    assert office.who(office.bearer(office.developer, office.world.agent_id))["username"] == its_own


def test_without_rbac_the_cluster_itself_refuses(office: Office):
    status, headers, document = office.ask(office.bearer(office.developer), "/api/v1/namespaces")
    assert (status, document["reason"]) == (403, "Forbidden")
    assert document["message"].splitlines()[0] == (
        'namespaces is forbidden: User "gitlab:user:dora" cannot list resource "namespaces" '
        'in API group "" at the cluster scope'
    )
    assert "gitlab-unauthorized" not in headers


def test_rbac_for_everybody_who_came_through_gitlab_works(office: Office):
    cluster = office.world.cluster
    cluster.kubectl("apply", "-f", "-", input=json.dumps(CONFIG_MAPS))
    cluster.kubectl("create", "rolebinding", "seers", "--role=seers", "--group=gitlab:user")
    seen = office.world.kubectl("--token", office.bearer(office.developer), "get", "configmaps", "-o", "name")
    assert "kube-root-ca.crt" in seen.stdout
    forbidden = office.world.kubectl(
        "--token", office.bearer(office.developer), "get", "secrets", check=False
    )
    assert "Error from server (Forbidden)" in forbidden.stderr


UNAUTHORIZED = "GitLab Agent Server: Unauthorized. Trace ID: "
UNAUTHORIZED_BECAUSE = "GitLab Agent Server: Unauthorized: "


def assert_refused(answer: tuple[int, dict[str, Any], Any], message: str = UNAUTHORIZED) -> None:
    status, headers, document = answer
    assert (status, document["code"], document["reason"]) == (401, 401, "Unauthorized")
    assert (document["kind"], document["apiVersion"], document["status"]) == ("Status", "v1", "Failure")
    assert document["message"].startswith(message)
    assert headers["gitlab-unauthorized"] == "true"
    assert "www-authenticate" not in headers


def test_a_stranger_stays_outside_and_learns_nothing(office: Office):
    assert_refused(office.ask(office.bearer(office.stranger)))


def test_a_reporter_stays_outside_and_hears_what_is_missing(office: Office):
    answer = office.ask(office.bearer(office.reporter))
    assert_refused(answer, UNAUTHORIZED_BECAUSE)
    said = answer[2]["message"]
    assert "the role developer is needed: you are reporter in ops/fleet" in said
    assert "user_access.groups[0] in line 5 of .gitlab/agents/people/config.yaml of ops/fleet" in said


def test_an_unknown_agent_is_told_like_one_that_is_not_allowed(office: Office):
    assert_refused(office.ask(office.bearer(office.developer, 999_999)))


def test_a_wrong_token_is_unauthorized(office: Office):
    assert_refused(office.ask(f"pat:{office.agent_id}:glpat-{'x' * 50}"))


@pytest.mark.parametrize("scope", ["api", "read_api"])
def test_a_token_without_the_scope_is_refused(office: Office, scope: str):
    token = office.token(office.developer.id, scope)
    assert_refused(
        office.ask(f"pat:{office.agent_id}:{token}"), f"{UNAUTHORIZED_BECAUSE}the token lacks the scope"
    )


@pytest.mark.parametrize(
    ("bearer", "said"),
    [
        ("foo", "Authorization header: invalid value"),
        (
            "pat:abc:t",
            'Authorization header: failed to parse: strconv.ParseInt: parsing "abc": invalid syntax',
        ),
        ("pat:1:", "Authorization header: empty token"),
        ("foo:1:x", "Authorization header: unknown token type"),
    ],
)
def test_a_credential_that_cannot_be_read_is_told_what_is_wrong(office: Office, bearer: str, said: str):
    assert_refused(office.ask(bearer), f"GitLab Agent Server: Unauthorized: {said}")


def test_no_credential_at_all_is_unauthorized(office: Office):
    with office.world.client() as client:
        answer = client.get(office.world.proxy + "/version")
    said = "GitLab Agent Server: Unauthorized: no valid credentials provided"
    assert_refused((answer.status_code, dict(answer.headers), answer.json()), said)


def test_an_agent_that_was_never_here_is_a_bad_gateway(office: Office):
    bearer = f"ci:{office.world.register('idle')}:{office.job('fleet').token}"
    deadline = time.monotonic() + 45
    while (answer := office.ask(bearer))[
        0
    ] == 503:  # kas started a moment ago: any agent may be on its way back
        assert time.monotonic() < deadline, answer
    status, headers, document = answer
    assert (status, document["code"], document["status"]) == (502, 502, "Failure")
    assert "Agent connection not found. Is agent up to date and connected?" in document["message"]
    assert "reason" not in document
    assert "gitlab-unauthorized" not in headers


def test_who_may_not_use_an_agent_does_not_learn_that_it_is_away(office: Office):
    office.agentk.kill()
    try:
        status, headers, _ = office.ask(office.bearer(office.developer))
        assert (status, headers["retry-after"]) == (503, "1")
        assert_refused(office.ask(office.bearer(office.stranger)))
    finally:
        office.agentk.start()
        until_allowed(office, office.developer)


NAMED = {"Impersonate-User": "admin", "Impersonate-Group": "system:masters"}


def test_whoever_is_impersonated_may_not_name_another_identity(office: Office):
    bearer = office.bearer(office.developer)
    status, _, document = office.ask(bearer, **NAMED)
    assert (status, document["reason"]) == (400, "BadRequest")
    assert "nested impersonation is not supported" in document["message"]
    # kubectl's own discovery swallows what a server says, a plain read shows it.
    said = office.world.kubectl(
        "--token", bearer, "--as", "admin", "get", "--raw", "/api/v1/namespaces", check=False
    )
    assert said.returncode != 0
    assert "leave out --as" in said.stderr


def test_whoever_acts_as_the_agent_may_be_somebody_with_less(office: Office):
    as_alice = [
        *("--token", office.bearer(office.developer, office.world.agent_id)),
        *("--as", "alice", "--as-group", "readers", "--as-uid", "a-1"),
    ]
    seen = json.loads(office.world.kubectl(*as_alice, "auth", "whoami", "-o", "json").stdout)
    assert seen["status"]["userInfo"] == {
        "username": "alice",
        "uid": "a-1",
        "groups": ["readers", "system:authenticated"],
    }
    refused = office.world.kubectl(*as_alice, "get", "secrets", check=False)
    assert 'User "alice" cannot list resource "secrets"' in refused.stderr


@pytest.mark.parametrize("agent", ["people", "prod"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Impersonate-Group": "system:masters"},
        {"X-Remote-User": "a"},
        {"Impersonate-User": "a", "X-Remote-Group": "system:masters"},
    ],
)
def test_nobody_may_be_half_of_somebody(office: Office, agent: str, headers: dict[str, str]):
    agent_id = office.agent_id if agent == "people" else office.world.agent_id
    status, _, document = office.ask(office.bearer(office.developer, agent_id), **headers)
    assert (status, document["reason"]) == (400, "BadRequest")


def job_seen(office: Office, job: Job) -> dict[str, Any]:
    return office.who(f"ci:{office.agent_id}:{job.token}")


def test_a_job_is_impersonated_with_gitlabs_strings(office: Office):
    job = office.job("shop", "production")
    project_id = office.project_ids["shop"]
    assert job_seen(office, job) == {
        "username": f"gitlab:ci_job:{job.id}",
        "groups": [
            "gitlab:ci_job",
            f"gitlab:group:{office.group_id}",
            f"gitlab:group_env_tier:{office.group_id}:production",
            f"gitlab:project:{project_id}",
            f"gitlab:project_env:{project_id}:production",
            f"gitlab:project_env_tier:{project_id}:production",
            "system:authenticated",
        ],
        "extra": {
            f"{PREFIX}id": [str(office.agent_id)],
            f"{PREFIX}config_project_id": [str(office.project_id)],
            f"{PREFIX}project_id": [str(project_id)],
            f"{PREFIX}ci_pipeline_id": [str(job.pipeline_id)],
            f"{PREFIX}ci_job_id": [str(job.id)],
            f"{PREFIX}username": ["root"],
            f"{PREFIX}environment_slug": ["production"],
            f"{PREFIX}environment_tier": ["production"],
        },
    }


def test_a_job_of_the_group_is_whom_the_configuration_names(office: Office):
    assert job_seen(office, office.job("tools")) == {
        "username": "deployer",
        "uid": "d-1",
        "groups": ["deployers", "system:authenticated"],
        "extra": {"example.com/team": ["a", "b"]},
    }


def test_a_job_of_the_agents_own_project_acts_as_the_agent(office: Office):
    own = ["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]
    seen = office.who(f"ci:{office.world.agent_id}:{office.job('fleet').token}")
    assert seen["username"] == office.world.cluster.kubectl(*own).stdout


def test_a_job_that_the_environment_keeps_out_hears_so(office: Office):
    job = office.job("shop", "staging")
    status, _, document = office.ask(f"ci:{office.agent_id}:{job.token}")
    assert (status, document["reason"]) == (403, "Forbidden")
    assert document["message"].startswith("GitLab Agent Server: Forbidden: agentId is not allowed: ")
    assert "staging matches none of production, review/*" in document["message"]


def test_a_job_hears_nothing_of_an_agent_that_is_not_shared_with_it(office: Office):
    token = office.job("tools").token
    told = [office.ask(f"ci:{agent_id}:{token}") for agent_id in (office.world.agent_id, 999_999)]
    for status, _, document in told:
        assert (status, document["reason"]) == (403, "Forbidden")
        said = document["message"].partition(". Trace ID")[0]
        assert said == "GitLab Agent Server: Forbidden: agentId is not allowed"


def test_a_job_token_that_nobody_knows_is_unauthorized(office: Office):
    said = (
        "GitLab Agent Server: Unauthorized: CI job token: "
        "HTTP status code: 401 for path /api/v4/job/allowed_agents. Trace ID: "
    )
    assert_refused(office.ask(f"ci:{office.agent_id}:glcbt-{'x' * 50}"), said)


def test_a_person_who_loses_the_role_loses_the_running_watch(office: Office):
    guest = office.person("gil", DEVELOPER)
    bearer = office.bearer(guest, office.world.agent_id)
    with office.world.background("--token", bearer, "get", "namespaces", "-w", "-o", "name") as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline()
        began = time.monotonic()
        office.world.rest("DELETE", f"/groups/ops/members/{guest.id}", expect=204)
        watch.wait(15)
        assert time.monotonic() - began < 15
    assert_refused(office.ask(bearer))


def test_a_person_whose_role_sinks_below_developer_is_out(office: Office):
    sinking = office.person("sue", DEVELOPER)
    assert office.ask(office.bearer(sinking))[0] == 200
    change: dict[str, object] = {"access_level": REPORTER}
    office.world.rest("PUT", f"/groups/ops/members/{sinking.id}", change)
    deadline = time.monotonic() + 10
    while (answer := office.ask(office.bearer(sinking)))[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)  # noqa: TID251 - a grant lives for seconds
    assert_refused(answer, UNAUTHORIZED_BECAUSE)
