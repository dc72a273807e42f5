from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from kasbah.cli.doctor import context
from kasbah.errors import UserError
from kasbah.kit.doctor.check import FaultError

CLUSTER = {"server": "https://kas.example/k8s-proxy/"}
SCRIPT = "import json, os; print(json.dumps({'status': {'token': os.environ['TOKEN']}}))"


def written(
    tmp_path: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None
) -> Path:
    path = tmp_path / "config"
    document = {
        "clusters": [{"name": "k", "cluster": CLUSTER if cluster is None else cluster}],
        "users": [{"name": "u", "user": user or {"token": "ci:7:glcbt-x"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "web"}}],
    }
    path.write_text(json.dumps(document))
    return path


def test_a_jobs_context_holds_all_there_is(tmp_path: Path):
    found = context.read(written(tmp_path), "c")
    assert (found.server, found.namespace, found.token.reveal()) == (CLUSTER["server"], "web", "ci:7:glcbt-x")
    assert (found.ca_pem, found.server_name, found.insecure) == ("", "", False)


def test_files_are_read_beside_it(tmp_path: Path):
    (tmp_path / "ca.crt").write_text("PEM")
    (tmp_path / "token").write_text("secret\n")
    path = written(tmp_path, CLUSTER | {"certificate-authority": "ca.crt"}, {"tokenFile": "token"})
    found = context.read(path, "c")
    assert (found.ca_pem, found.token.reveal()) == ("PEM", "secret")


def test_an_authority_may_stand_in_it(tmp_path: Path):
    data = base64.b64encode(b"PEM").decode()
    assert (
        context.read(written(tmp_path, CLUSTER | {"certificate-authority-data": data}), "c").ca_pem == "PEM"
    )


@pytest.mark.parametrize(
    ("cluster", "told"),
    [
        ({}, "names no cluster with a server"),
        (CLUSTER | {"certificate-authority-data": "?"}, "not a PEM in base64"),
        (CLUSTER | {"certificate-authority": "nowhere"}, "cannot read"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_told(tmp_path: Path, cluster: dict[str, Any], told: str):
    with pytest.raises(UserError, match=told):
        context.read(written(tmp_path, cluster), "c")


def test_a_context_that_is_not_there_is_told_with_those_that_are(tmp_path: Path):
    with pytest.raises(UserError, match=r"no context 'prod' \(there: c\)"):
        context.read(written(tmp_path), "prod")


@pytest.mark.parametrize(
    ("text", "told"), [("[", "not YAML"), ("- a", "not a kubeconfig"), ("a: 1", "there: none")]
)
def test_what_is_no_kubeconfig_is_told(tmp_path: Path, text: str, told: str):
    (tmp_path / "config").write_text(text)
    with pytest.raises(UserError, match=told):
        context.read(tmp_path / "config", "c")
    with pytest.raises(UserError, match="cannot read"):
        context.read(tmp_path / "nowhere", "c")


@pytest.mark.asyncio
async def test_the_plugin_gives_the_credential(tmp_path: Path):
    plugin = {
        "command": sys.executable,
        "args": ["-c", SCRIPT],
        "env": [{"name": "TOKEN", "value": "pat:1:glpat-y"}],
    }
    found = context.read(written(tmp_path, user={"exec": plugin}), "c")
    assert (await context.credential(found, {})).reveal() == "pat:1:glpat-y"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("user", "told"),
    [
        ({"client-key": "x"}, "neither a token nor an exec plugin"),
        ({"exec": {"command": "/nonexistent/plugin"}}, "No such file"),
        (
            {"exec": {"command": sys.executable, "args": ["-c", "raise SystemExit('no glpat-abc')"]}},
            r"no \*\*\*",
        ),
        ({"exec": {"command": sys.executable, "args": ["-c", "print(1)"]}}, "no ExecCredential"),
    ],
)
async def test_a_context_without_a_credential_is_a_fault(tmp_path: Path, user: dict[str, Any], told: str):
    with pytest.raises(FaultError, match=told) as found:
        await context.credential(context.read(written(tmp_path, user=user), "c"), {})
    assert found.value.fault == "no-credential"
