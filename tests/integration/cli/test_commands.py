"""The commands against our own hub: what the made-up GitLab of the unit tests promises, kept by the real one."""

from __future__ import annotations

import json
import stat
from uuid import uuid4

import pytest
import yaml

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def project(root):
    """A project of its own for each test."""
    return root.kasbah("project", "create", f"p{uuid4().hex[:8]}", "-o", "name").strip()


def test_a_login_is_checked_and_kept(root):
    assert root.kasbah("whoami", "-o", "name") == "root\n"
    assert stat.S_IMODE((root.home / ".config/kasbah/hosts.json").stat().st_mode) == 0o600


def test_a_certificate_nobody_knows_is_unreachable(person):
    person.kasbah("login", "--url", person.urls["https"], "--token-stdin", stdin="glpat-x\n", code=5)
    assert "--ca-file" in person.err


def test_a_wrong_token_is_not_allowed(person):
    login = ["login", "--url", person.urls["https"], "--ca-file", person.urls["ca_file"], "--token-stdin"]
    person.kasbah(*login, stdin="glpat-wrong\n", code=4)
    assert "glpat" not in person.err


def test_nobody_at_home_is_unreachable(person):
    person.kasbah("login", "--url", "http://127.0.0.1:1", "--token-stdin", stdin="glpat-x\n", code=5)


def test_groups_people_and_projects_are_created(root):
    name = f"g{uuid4().hex[:8]}"

    root.kasbah("group", "create", name)
    root.kasbah("group", "create", f"{name}/europe")
    assert root.kasbah("project", "create", f"{name}/europe/fleet", "-o", "name") == f"{name}/europe/fleet\n"
    assert f"{name}/europe" in root.kasbah("group", "list", "-o", "name").splitlines()
    assert json.loads(root.kasbah("project", "get", f"{name}/europe/fleet", "-o", "json"))["default_branch"]
    root.kasbah("project", "create", f"{name}/europe/fleet", code=1)
    assert "already been taken" in root.err
    root.kasbah("project", "delete", f"{name}/europe/fleet", "--yes")
    root.kasbah("project", "get", f"{name}/europe/fleet", code=3)


def test_a_new_person_may_not_do_what_the_administrator_may(root):
    name = f"u{uuid4().hex[:8]}"
    root.kasbah("user", "create", name, "--email", f"{name}@example.org")
    root.kasbah("token", "create", "t", "--user", name, "--scope", "api", "--token-file-out", "their-token")
    theirs = ["--token-file", "their-token", "--ca-file", root.urls["ca_file"]]
    root.kasbah("login", "--url", root.urls["https"], *theirs)

    assert root.kasbah("whoami", "-o", "name") == f"{name}\n"
    root.kasbah("user", "create", "x", "--email", "x@example.org", code=4)
    assert "not allowed" in root.err


def test_a_member_comes_and_goes(root, project):
    name = f"u{uuid4().hex[:8]}"
    root.kasbah("user", "create", name, "--email", f"{name}@example.org")

    assert "maintainer" in root.kasbah("member", "add", name, "--project", project, "--role", "maintainer")
    assert name in root.kasbah("member", "list", "--project", project, "-o", "name").splitlines()
    root.kasbah("member", "remove", name, "--project", project, "--yes")
    assert name not in root.kasbah("member", "list", "--project", project, "-o", "name").splitlines()


def test_an_agent_lives_from_registration_to_deletion(root, project):
    at = ["--project", project]

    root.kasbah("agent", "register", "prod", *at, "--token-file-out", "token")
    assert (root.home / "token").read_text().startswith("glagent-")
    root.kasbah("agent", "register", "prod", *at, code=1)
    assert "kasbah agent token create" in root.err
    root.kasbah("agent", "register", "Prod_1", *at, code=1)
    assert "lowercase letters" in root.err
    assert root.kasbah("agent", "list", *at, "-o", "name") == "prod\n"
    second = json.loads(root.kasbah("agent", "token", "create", "prod", *at, "-o", "json"))
    root.kasbah("agent", "token", "create", "prod", *at, code=1)
    assert "two active tokens" in root.err
    root.kasbah("agent", "token", "revoke", "prod", second["id"], *at, "--yes")
    assert len(json.loads(root.kasbah("agent", "token", "list", "prod", *at, "-o", "json"))) == 1
    root.kasbah("agent", "delete", "prod", *at, "--yes")
    root.kasbah("agent", "get", "prod", *at, code=3)


def test_the_kubeconfig_names_our_proxy_and_carries_our_authority(root, project):
    root.kasbah("agent", "register", "prod", "--project", project)

    root.kasbah("agent", "update-kubeconfig", "prod", "--project", project, "--use-context")

    written = yaml.safe_load((root.home / ".kube/config").read_text())
    cluster = written["clusters"][0]["cluster"]
    assert cluster["server"] == root.urls["k8s_proxy"]
    assert cluster["certificate-authority-data"]
    assert written["current-context"] == written["contexts"][0]["name"]


def test_a_ci_job_gets_its_kubeconfig_until_it_is_finished(root, project):
    root.kasbah("agent", "register", "prod", "--project", project)
    about = ["--ref", "main", "--environment", "production", "--kubeconfig-out", "job-kubeconfig"]
    job = json.loads(root.kasbah("job-token", "create", "--project", project, *about, "-o", "json"))

    written = yaml.safe_load((root.home / "job-kubeconfig").read_text())
    [agent] = job["agents"]
    [user] = written["users"]
    assert user["name"] == f"agent:{agent['id']}"
    assert user["user"]["token"].startswith(f"ci:{agent['id']}:glcbt-")
    assert written["contexts"][0]["name"] == f"{project}:prod"
    assert written["clusters"][0]["cluster"]["server"] == root.urls["k8s_proxy"]
    assert written["clusters"][0]["cluster"]["certificate-authority-data"]
    assert (job["protected"], job["environment"]["tier"]) == (True, "production")
    root.kasbah("job-token", "finish", job["id"], "--project", project, "--yes")
    assert "finished" in root.kasbah("job-token", "list", "--project", project)
    root.kasbah("job-token", "finish", 999, "--project", project, "--yes", code=3)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_environment_alone_is_enough(person, scheme):
    person.environ = {
        **person.environ,
        "KASBAH_URL": person.urls[scheme],
        "KASBAH_TOKEN_FILE": person.urls["root_token_file"],
        "KASBAH_CA_FILE": person.urls["ca_file"],
    }

    assert person.kasbah("whoami", "-o", "name") == "root\n"
    assert not (person.home / ".config").exists()
