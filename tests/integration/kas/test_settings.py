"""From kas' file to kas as a whole; each feature's part is in the unit tests."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from pathlib import Path

from kasbah.kas import __main__ as program
from kasbah.kas.app import KasSettings
from kasbah.kas.configuration_file.reading import read

FILE = """
gitlab: {address: http://gitlab, authentication_secret_file: SECRET}
observability: {listen: {address: ":0"}, usage_reporting_period: 7s}
"""


def settings(tmp_path: Path, text: str) -> KasSettings:
    secret, path = tmp_path / "secret", tmp_path / "kas.yaml"
    secret.write_bytes(base64.b64encode(b"k" * 32))
    path.write_text((FILE + text).replace("SECRET", str(secret)))
    with ExitStack() as stack:
        return program._settings(read(path).file, stack)


def test_gitlabs_defaults(tmp_path: Path):
    made = settings(tmp_path, "agent: {listen: {address: ':0'}, kubernetes_api: {listen: {address: ':0'}}}")
    assert (made.listen_grace_s, made.http_server.drain_s, made.reverse_tunnel.drain_timeout_s) == (
        5,
        3600,
        3600,
    )
    assert (made.usage_reporting_period_s, len(made.kubernetes_api_listens)) == (7, 1)
    assert made.internal_api_listens == ()


def test_what_the_file_says_of_time_and_of_the_internal_api(tmp_path: Path):
    made = settings(
        tmp_path,
        """
agent:
  listen: {address: ":0", max_connection_age: 60s, listen_grace_period: 1s}
  kubernetes_api: {listen: {address: ":0", listen_grace_period: 2s, shutdown_grace_period: 8s}}
api: {listen: {address: ":0", authentication_secret_file: SECRET, max_connection_age: 70s, listen_grace_period: 1s}}
""",
    )
    assert (made.listen_grace_s, made.http_server.drain_s) == (2, 8)
    assert (made.reverse_tunnel.max_connection_age_s, made.internal_api.max_connection_age_s) == (60, 70)
    assert len(made.internal_api_listens) == 1
    assert "a2tr" not in repr(made)
