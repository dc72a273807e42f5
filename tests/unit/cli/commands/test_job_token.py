"""`kasbah job-token …`."""

from __future__ import annotations

import json

import pytest
import yaml

HERE = ("--project", "ops/fleet")


def test_a_token_is_shown_once_with_what_it_reaches(kasbah):
    kasbah.gitlab.add_agent("prod")

    assert kasbah("job-token", "create", *HERE, "--ref", "main") == 0
    assert kasbah.out == "glcbt-new\n"
    assert "The job's id is 1." in kasbah.err
    assert "It reaches: ops/fleet:prod." in kasbah.err
    assert kasbah.gitlab.requests[-1] == (
        "POST",
        "/projects/31/job_tokens",
        {"ref": "refs/heads/main", "expires_in": 3600},
    )


def test_everything_about_a_job_can_be_said(kasbah):
    about = ["--environment", "shop", "--tier", "production", "--pipeline-id", "800", "--expires-in", "15m"]

    assert kasbah("job-token", "create", *HERE, "--ref", "refs/tags/v1", *about, "--user", "mia") == 0
    assert kasbah.gitlab.requests[-1][2] == {
        "ref": "refs/tags/v1",
        "environment": "shop",
        "tier": "production",
        "pipeline_id": 800,
        "user_id": 4,
        "expires_in": 900,
    }
    assert "It reaches no agent" in kasbah.err


def test_the_kubeconfig_is_as_gitlab_gives_it_to_jobs(kasbah, tmp_path):
    kasbah.gitlab.add_agent("prod")
    kasbah.gitlab.add_agent("stage")
    file = tmp_path / "kubeconfig"

    assert kasbah("job-token", "create", *HERE, "--ref", "main", "--kubeconfig-out", str(file)) == 0
    assert yaml.safe_load(file.read_text()) == {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "gitlab", "cluster": {"server": "https://kas.example.org/k8s-proxy"}}],
        "users": [
            {"name": "agent:7", "user": {"token": "ci:7:glcbt-new"}},
            {"name": "agent:8", "user": {"token": "ci:8:glcbt-new"}},
        ],
        "contexts": [
            {"name": "ops/fleet:prod", "context": {"cluster": "gitlab", "user": "agent:7"}},
            {"name": "ops/fleet:stage", "context": {"cluster": "gitlab", "user": "agent:8"}},
        ],
    }
    assert file.stat().st_mode & 0o777 == 0o600
    assert "glcbt" not in kasbah.out + kasbah.err


def test_a_default_namespace_stands_in_the_context(kasbah, tmp_path, monkeypatch):
    kasbah.gitlab.add_agent("prod")
    plain = kasbah.gitlab._create_job

    def with_namespace(body):
        created = plain(body)
        return {**created, "agents": [{**created["agents"][0], "default_namespace": "shop"}]}

    monkeypatch.setattr(kasbah.gitlab, "_create_job", with_namespace)
    file = tmp_path / "kubeconfig"
    assert kasbah("job-token", "create", *HERE, "--ref", "main", "--kubeconfig-out", str(file)) == 0
    [context] = yaml.safe_load(file.read_text())["contexts"]
    assert context["context"] == {"cluster": "gitlab", "user": "agent:7", "namespace": "shop"}


def test_json_holds_the_token_unless_it_went_to_a_file(kasbah, tmp_path):
    assert kasbah("job-token", "create", *HERE, "--ref", "main", "-o", "json") == 0
    assert json.loads(kasbah.out)["token"] == "glcbt-new"
    out = ["--kubeconfig-out", str(tmp_path / "k"), "-o", "json"]
    assert kasbah("job-token", "create", *HERE, "--ref", "main", *out) == 0
    assert "token" not in json.loads(kasbah.out)
    assert kasbah("job-token", "create", *HERE, "--ref", "main", "-o", "name") == 0
    assert kasbah.out == "3\n"


def test_a_place_that_cannot_be_written_makes_no_job(kasbah, tmp_path):
    file = tmp_path / "missing" / "kubeconfig"

    assert kasbah("job-token", "create", *HERE, "--ref", "main", "--kubeconfig-out", str(file)) == 1
    assert kasbah.gitlab.jobs == {}


@pytest.mark.parametrize(
    "wrong",
    [
        ["--tier", "production"],
        ["--expires-in", "soon"],
        ["--expires-in", "59s"],
        ["--expires-in", "25h"],
        ["--environment", "x", "--tier", "prod"],
    ],
)
def test_wrong_usage_makes_no_job(kasbah, wrong):
    assert kasbah("job-token", "create", *HERE, "--ref", "main", *wrong) == 2
    assert kasbah.gitlab.jobs == {}


def test_jobs_are_listed_and_finished(kasbah):
    kasbah("job-token", "create", *HERE, "--ref", "main", "--environment", "production")

    assert kasbah("job-token", "list", *HERE) == 0
    assert kasbah.out.splitlines()[1].split() == [
        "1", "refs/heads/main", "yes", "production", "mia", "running", "-",
    ]  # fmt: skip
    assert kasbah("job-token", "finish", "1", *HERE) == 2  # nobody is there to be asked
    assert kasbah("job-token", "finish", "1", *HERE, "--yes") == 0
    assert kasbah.gitlab.jobs == {}
    assert kasbah("job-token", "finish", "1", *HERE, "--yes") == 3
    assert "there is no job 1 in ops/fleet; `kasbah job-token list --project ops/fleet`" in kasbah.err
