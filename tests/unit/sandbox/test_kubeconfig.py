"""Kubeconfig files carry everything inline and are nobody else's to read."""

from __future__ import annotations

import base64
from pathlib import Path

import yaml

from sandbox import kubeconfig


def _write(path: Path, user: str = "ada") -> Path:
    return kubeconfig.write(path, server="https://127.0.0.1:1", ca_pem=b"PEM", user=user, token="t0ken")


def test_the_current_context_leads_to_server_certificates_and_token(tmp_path: Path) -> None:
    config = yaml.safe_load(_write(tmp_path / "k").read_text())
    assert config["contexts"][0]["name"] == config["current-context"]
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]) == b"PEM"
    assert config["users"][0]["user"] == {"token": "t0ken"}


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    assert _write(tmp_path / "k").stat().st_mode & 0o777 == 0o600


def test_a_user_name_with_special_characters_stays_one_name(tmp_path: Path) -> None:
    config = yaml.safe_load(_write(tmp_path / "k", 'a: "b"#c').read_text())
    assert config["users"][0]["name"] == config["contexts"][0]["context"]["user"] == 'a: "b"#c'
