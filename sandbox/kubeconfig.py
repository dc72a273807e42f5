"""Kubeconfig files of the sandbox: one cluster, one user, one context, everything inline."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

_CONTEXT = "kasbah-sandbox"


def write(path: Path, *, server: str, ca_pem: bytes, user: str, token: str) -> Path:
    """Writes a file that only its owner can read; it may be copied anywhere."""
    text = f"""\
apiVersion: v1
kind: Config
current-context: {_CONTEXT}
clusters:
- name: {_CONTEXT}
  cluster:
    server: {server}
    certificate-authority-data: {base64.b64encode(ca_pem).decode()}
contexts:
- name: {_CONTEXT}
  context:
    cluster: {_CONTEXT}
    user: {json.dumps(user)}
users:
- name: {json.dumps(user)}
  user:
    token: {token}
"""
    unfinished = path.with_name(f"{path.name}.new")  # somebody may be waiting for the name to appear
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)
    return unfinished.rename(path)
