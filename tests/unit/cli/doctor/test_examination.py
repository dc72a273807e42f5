from __future__ import annotations

import io
import json
from typing import Any

import pytest

from kasbah.cli.doctor import examination
from kasbah.cli.doctor.examination import Examination, Wanted
from kasbah.cli.errors import UsageError
from kasbah.cli.hosts import Host
from kasbah.cli.terminal import Terminal
from kasbah.kit.secrets import Secret
from tests.doubles.fake_gitlab import TOKEN

HOST = Host(url="https://git.example", token=Secret(TOKEN))


def terminal(**environ: str) -> Terminal:
    return Terminal(environ=environ, stdin=io.StringIO(), stdout=io.StringIO(), stderr=io.StringIO())


def names(wanted: Wanted) -> list[str]:
    return [check.name for check in Examination(terminal(), HOST, wanted).checks()]


def test_without_an_agent_the_way_ends_at_kas():
    assert names(Wanted())[-1] == "kas.refuses"


def test_with_an_agent_it_goes_on_to_the_cluster():
    found = names(Wanted(agent="prod", project="ops/fleet"))
    assert found.index("kas.refuses") < found.index("agent.exists") < found.index("cluster.version")
    assert found[-1] == "stream.body"


def test_a_name_without_a_project_is_wrong_usage():
    with pytest.raises(UsageError, match="needs --project"):
        Examination(terminal(), HOST, Wanted(agent="prod"))


@pytest.mark.asyncio
async def test_an_id_is_taken_as_given_and_a_token_for_the_proxy_alone_is_used_itself():
    made = Examination(terminal(), HOST, Wanted(agent="7"))
    assert "taken as given" in (await made._find_agent()).seen
    assert (await made._obtain()).reveal() == f"pat:7:{TOKEN}"


def run(**environ: str) -> tuple[Terminal, Any]:
    here = terminal(**environ)
    report = examination.run(here, Wanted(), as_json=True)
    assert isinstance(here.stdout, io.StringIO)
    return here, (report, json.loads(here.stdout.getvalue()))


def test_nobody_logged_in_is_the_first_fault(tmp_path: Any):
    _, (report, document) = run(HOME=str(tmp_path))
    assert report.first_fault.fault == "not-logged-in"
    assert document["first_fault"] == "login"


def test_a_login_that_cannot_be_read_is_another():
    _, (report, _) = run(HOME="/", KASBAH_URL="https://git.example", KASBAH_TOKEN_FILE="/nonexistent/token")
    assert report.first_fault.fault == "login-unusable"


def test_nothing_of_the_token_is_shown(tmp_path: Any):
    here, (_, document) = run(HOME=str(tmp_path), KASBAH_URL="http://127.0.0.1:1", KASBAH_TOKEN=TOKEN)
    assert document["first_fault"] == "hub.tcp"
    assert TOKEN not in json.dumps(document)
    assert isinstance(here.stderr, io.StringIO)
    assert here.stderr.getvalue() == ""


def kubeconfig(tmp_path: Any) -> Any:
    path = tmp_path / "config"
    document = {
        "clusters": [
            {"name": "k", "cluster": {"server": "https://127.0.0.1:1/k8s-proxy/", "tls-server-name": "kas"}}
        ],
        "users": [{"name": "u", "user": {"token": "ci:7:glcbt-secret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "web"}}],
    }
    path.write_text(json.dumps(document))
    return path


def test_a_context_needs_no_login(tmp_path: Any):
    here = terminal()
    wanted = Wanted(context="c", kubeconfig=kubeconfig(tmp_path))
    report = examination.run(here, wanted, as_json=True)
    assert [result.name for result in report.results][:4] == [
        "kubeconfig",
        "kas.address",
        "kas.proxy",
        "kas.dns",
    ]
    assert report.first_fault is not None
    assert report.first_fault.name == "kas.tcp"
    assert "may you list pods in web" in str(report.results)
    assert isinstance(here.stdout, io.StringIO)
    assert "glcbt-secret" not in here.stdout.getvalue()


def test_a_context_that_is_not_there_is_the_first_fault(tmp_path: Any):
    report = examination.run(terminal(), Wanted(context="x", kubeconfig=kubeconfig(tmp_path)), as_json=True)
    assert report.first_fault is not None
    assert report.first_fault.fault == "kubeconfig-unusable"


def test_a_context_and_an_agent_are_one_too_many():
    with pytest.raises(UsageError, match="give no other"):
        examination.run(terminal(), Wanted(context="c", agent="prod"), as_json=True)


def test_a_proxy_that_cannot_be_used_is_told_as_such(tmp_path: Any):
    _, (report, _) = run(
        HOME=str(tmp_path), KASBAH_URL="https://git.example", KASBAH_TOKEN=TOKEN, HTTPS_PROXY="socks5://x"
    )
    assert report.first_fault.fault == "settings-unusable"
