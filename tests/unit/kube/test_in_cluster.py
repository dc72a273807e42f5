from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.kube import in_cluster
from tests.doubles.certificates import make_certificates

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_bytes(make_certificates().ca_pem)
    (tmp_path / "token").write_text("abc")
    (tmp_path / "namespace").write_text("agents\n")
    return tmp_path


def test_a_pod_has_an_api_server_and_a_token(folder: Path):
    access = in_cluster.load(POD, folder)
    assert (access.authority, access.namespace) == ("10.96.0.1:6443", "agents")
    assert access.authorization.value is not None


def test_an_ipv6_service_is_put_in_brackets(folder: Path):
    assert in_cluster.load(POD | {"KUBERNETES_SERVICE_HOST": "fd00::1"}, folder).authority == "[fd00::1]:6443"


def test_a_pod_is_known_by_variable_and_token(folder: Path):
    assert in_cluster.runs_in_a_pod(POD, folder)
    assert not in_cluster.runs_in_a_pod({}, folder)
    assert not in_cluster.runs_in_a_pod(POD, folder / "elsewhere")


def test_without_a_namespace_file_it_is_the_default_one(folder: Path):
    (folder / "namespace").unlink()
    assert in_cluster.load(POD, folder).namespace == "default"


def test_outside_a_cluster_says_so(folder: Path):
    with pytest.raises(UserError, match="not in a cluster"):
        in_cluster.load({}, folder)


def test_a_service_account_that_is_not_mounted_is_explained(tmp_path: Path):
    with pytest.raises(UserError, match="automountServiceAccountToken"):
        in_cluster.load(POD, tmp_path)
