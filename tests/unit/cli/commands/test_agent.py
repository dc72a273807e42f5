"""`kasbah agent …`: registration explains the next step, and kubeconfigs carry glab's names."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
import yaml

from kasbah.kit.local_ca import ensure_local_ca


def test_registering_shows_the_token_once_and_the_next_commands(kasbah):
    assert kasbah("agent", "register", "prod", "--project", "ops/fleet") == 0

    assert "glagent-new" in kasbah.out
    assert "agentk --kas-address=wss://kas.example.org --token-file=TOKEN_FILE" in kasbah.out
    assert "kasbah agent update-kubeconfig prod --project ops/fleet --use-context" in kasbah.out


def test_a_token_that_goes_to_a_file_is_shown_nowhere(kasbah, tmp_path):
    file = tmp_path / "agent token"

    assert kasbah("agent", "register", "prod", "-p", "31", "--token-file-out", str(file)) == 0

    assert "glagent" not in kasbah.out + kasbah.err
    assert f"--token-file='{file}'" in kasbah.out
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("glagent-new\n", 0o600)


def test_registering_as_json_gives_the_apis_objects(kasbah):
    assert kasbah("agent", "register", "prod", "-p", "31", "-o", "json") == 0

    answer = json.loads(kasbah.out)
    assert (answer["agent"]["name"], answer["token"]["token"]) == ("prod", "glagent-new")
    assert answer["kas_address"] == "wss://kas.example.org"


def test_a_taken_name_leads_to_another_token(kasbah):
    kasbah.gitlab.add_agent("prod")

    assert kasbah("agent", "register", "prod", "-p", "31") == 1
    assert "kasbah agent token create prod --project ops/fleet" in kasbah.err


def test_an_agent_left_without_a_token_is_said_to_be_so(kasbah):
    kasbah.gitlab.tokens = {1: {"id": 1, "name": "a"}, 2: {"id": 2, "name": "b"}}

    assert kasbah("agent", "register", "prod", "-p", "31") == 1
    assert "the agent is registered, but it has no token yet" in kasbah.err


def test_a_bad_place_for_the_token_registers_nothing(kasbah, tmp_path):
    assert (
        kasbah("agent", "register", "prod", "-p", "31", "--token-file-out", str(tmp_path / "no" / "t")) == 1
    )
    assert kasbah.gitlab.agents == {}


def test_agents_are_listed_and_shown_by_name(kasbah):
    kasbah.gitlab.add_agent("prod")

    assert kasbah("agent", "list", "-p", "ops/fleet") == 0
    assert "7   prod  ops/fleet" in kasbah.out
    assert kasbah("agent", "get", "prod", "-p", "ops/fleet", "-o", "name") == 0
    assert kasbah.out == "prod\n"


def test_an_agent_is_deleted_after_a_yes(kasbah):
    kasbah.gitlab.add_agent("prod")

    assert kasbah("agent", "delete", "prod", "-p", "31") == 2
    assert kasbah.gitlab.agents
    assert kasbah("agent", "delete", "prod", "-p", "31", "--yes") == 0
    assert kasbah.gitlab.agents == {}


@pytest.fixture
def ca_file(tmp_path):
    return ensure_local_ca(tmp_path / "authority", []).ca_certificate


def test_the_kubeconfig_carries_glabs_names_and_the_authority(kasbah, tmp_path, ca_file):
    kasbah.gitlab.add_agent("prod")
    kasbah.environ = {"KASBAH_CA_FILE": str(ca_file)}

    assert kasbah("agent", "update-kubeconfig", "prod", "-p", "31", "-u") == 0

    context = "gitlab_example_org-ops_fleet-prod"
    assert kasbah.out == f"Updated context {context}.\nUsing context {context}.\n"
    written = yaml.safe_load((tmp_path / ".kube" / "config").read_text())
    assert written["current-context"] == context
    assert written["clusters"][0] == {
        "name": "gitlab_example_org",
        "cluster": {
            "server": "https://kas.example.org/k8s-proxy",
            "certificate-authority-data": base64.b64encode(ca_file.read_bytes()).decode(),
        },
    }
    assert written["users"][0]["name"] == "gitlab_example_org-7"


def test_the_kubeconfig_calls_the_plugin_by_its_absolute_path(kasbah, tmp_path):
    kasbah.gitlab.add_agent("prod")
    file = tmp_path / "config"

    options = ["--kubeconfig", str(file), "--token-expiry-duration", "2d", "--check-revoked"]
    assert kasbah("agent", "update-kubeconfig", "7", "-p", "31", *options) == 0

    called = yaml.safe_load(file.read_text())["users"][0]["user"]["exec"]
    assert Path(called["command"]).is_absolute()
    assert called["interactiveMode"] == "Never"
    assert called["args"] == [
        "--agent", "7", "--host", "https://gitlab.example.org",
        "--token-expiry-duration", "48h0m0s", "--check-revoked",
    ]  # fmt: skip
    assert "env" not in called


def test_an_agent_can_be_named_as_for_glab(kasbah, tmp_path):
    kasbah.gitlab.add_agent("prod")

    assert kasbah("agent", "update-kubeconfig", "--agent", "7", "--project", "ops/fleet", "-u") == 0
    assert (tmp_path / ".kube" / "config").exists()


def test_files_named_by_the_environment_are_named_in_the_kubeconfig(kasbah, tmp_path):
    kasbah.gitlab.add_agent("prod")
    (tmp_path / "token").write_text("glpat-good")
    kasbah.environ = {"KASBAH_TOKEN": "", "KASBAH_TOKEN_FILE": str(tmp_path / "token")}

    assert kasbah("agent", "update-kubeconfig", "prod", "-p", "31") == 0

    called = yaml.safe_load((tmp_path / ".kube" / "config").read_text())["users"][0]["user"]["exec"]
    assert {"name": "KASBAH_TOKEN_FILE", "value": str(tmp_path / "token")} in called["env"]


def test_a_kas_that_is_off_is_said_to_be_so(kasbah):
    kasbah.gitlab.add_agent("prod")
    kasbah.gitlab.kas_enabled = False

    assert kasbah("agent", "update-kubeconfig", "prod", "-p", "31") == 1
    assert "is disabled on https://gitlab.example.org" in kasbah.err


def test_a_duration_under_a_day_is_refused(kasbah):
    assert kasbah("agent", "update-kubeconfig", "prod", "-p", "31", "--token-expiry-duration", "1h") == 2
    assert "at least 24 hours" in kasbah.err


def test_a_token_for_an_agents_name_needs_its_project(kasbah):
    assert kasbah("agent", "get-token", "prod") == 2
    assert "--agent needs the agent's id" in kasbah.err
