"""From kas' file to the settings of its features; addresses are in tests/integration/kas."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.kas import file_settings
from kasbah.kas.configuration_file.reading import read
from kasbah.kas.configuration_file.schema import ConfigurationFile
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.redis.settings import RedisSettings
from kasbah.kas.session_recording.settings import SessionRecordingSettings

GITLAB = "gitlab: {address: http://gitlab, external_url: 'http://people/', authentication_secret_file: /s}\n"


def file(tmp_path: Path, text: str = "") -> ConfigurationFile:
    path = tmp_path / "kas.yaml"
    path.write_text(GITLAB + text)
    return read(path).file


def redis(tmp_path: Path, text: str) -> RedisSettings:
    section = file(tmp_path, f"redis: {{{text}}}").redis
    assert section is not None
    return file_settings.redis(section)


def test_what_is_remembered_by_default_is_what_we_promise(tmp_path: Path):
    made = file(tmp_path, "agent: {kubernetes_api: {}}")
    hub = file_settings.hub_client(made)
    assert (hub.agent_info_ttl_s, hub.agent_info_error_ttl_s) == (5, 2)
    assert (hub.calls_per_s, hub.calls_at_once) == (50, 250)
    assert file_settings.kubernetes_api(made) == KubernetesApiSettings(external_origin="http://people")
    assert file_settings.agent_configuration(made).gitlab_external_url == "http://people/"


def test_sessions_are_recorded_when_the_file_says_where(tmp_path: Path):
    assert file_settings.session_recording(file(tmp_path)) == SessionRecordingSettings()
    assert file_settings.session_recording(file(tmp_path, "agent: {kubernetes_api: {}}")).directory is None
    section = "session_recording: {directory: /r, with_input: true, max_file_size: 5}"
    made = file_settings.session_recording(file(tmp_path, f"agent: {{kubernetes_api: {{{section}}}}}"))
    assert made == SessionRecordingSettings(directory=Path("/r"), with_input=True, max_file_bytes=5)


def test_the_file_shortens_what_is_remembered(tmp_path: Path):
    made = file(
        tmp_path,
        """
agent:
  info_cache_ttl: 1s
  info_cache_error_ttl: 0s
  gitops: {project_info_cache_ttl: 4s, project_info_cache_error_ttl: 3s, max_number_of_files: 3}
  kubernetes_api: {allowed_agent_cache_ttl: 3s, allowed_agent_cache_error_ttl: 1s}
""",
    )
    hub, proxy = file_settings.hub_client(made), file_settings.kubernetes_api(made)
    assert (hub.agent_info_ttl_s, hub.agent_info_error_ttl_s) == (1, 0)
    assert (hub.project_info_ttl_s, hub.project_info_error_ttl_s) == (4, 3)
    assert (proxy.grant_ttl_s, proxy.denial_ttl_s) == (3, 1)
    assert file_settings.gitops(made.agent.gitops).max_number_of_files == 3


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("", b"/"),
        ("agent: {kubernetes_api: {}}", b"/"),
        ("agent: {kubernetes_api: {url_path_prefix: k8s-proxy}}", b"/k8s-proxy/"),
        ("agent: {kubernetes_api: {url_path_prefix: /k8s-proxy/}}", b"/k8s-proxy/"),
    ],
)
def test_a_prefix_has_a_slash_at_both_ends(tmp_path: Path, text: str, prefix: bytes):
    assert file_settings.url_path_prefix(file(tmp_path, text)) == prefix


def test_the_longest_grace_counts(tmp_path: Path):
    assert file_settings.listen_grace_s(file(tmp_path)) == 5
    made = file(
        tmp_path,
        "agent: {listen: {listen_grace_period: 1s}}\napi: {listen: {authentication_secret_file: /s}}",
    )
    assert file_settings.listen_grace_s(made) == 5


def test_probes_may_be_elsewhere(tmp_path: Path):
    made = file(tmp_path, "observability: {prometheus: {url_path: /prom}}")
    assert file_settings.observability(made.observability).metrics_path == "/prom"


def test_one_redis(tmp_path: Path):
    (tmp_path / "password").write_text("hunter2\n")
    made = redis(
        tmp_path,
        f"server: {{address: 'redis:6379'}}, password_file: {tmp_path}/password, username: kas, database_index: 3,"
        "tls: {enabled: true, ca_certificate_file: /ca}, pool_size: 4, key_prefix: ours",
    )
    assert (made.addresses, made.username, made.database_index) == (("redis:6379",), "kas", 3)
    assert (made.password.reveal(), made.pool_size, made.key_prefix) == ("hunter2", 4, "ours")
    assert made.tls is not None
    assert made.tls.ca_certificate_file == "/ca"
    assert "hunter2" not in repr(made)


def test_a_redis_found_by_sentinels(tmp_path: Path):
    made = redis(tmp_path, "sentinel: {master_name: kas, addresses: ['a:1', 'b:1']}")
    assert (made.addresses, made.sentinel_master) == (("a:1", "b:1"), "kas")
    assert (made.pool_size, made.tls) == (16, None)


def test_a_password_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="cannot read the password file /nowhere: No such file"):
        redis(tmp_path, "server: {address: 'redis:6379'}, password_file: /nowhere")


def test_authorities_that_are_none_are_named_by_their_key():
    with pytest.raises(UserError, match="x cannot be used"):
        file_settings.trust("/nowhere", "x")


def test_a_secret_that_is_not_there_is_named():
    with pytest.raises(UserError, match="cannot read the secret file /nowhere"):
        file_settings.secret("/nowhere")


def test_the_environment_says_where_a_replica_is_found(tmp_path: Path):
    (tmp_path / "secret").write_bytes(base64.b64encode(b"k" * 32))
    listens = (
        f"{{address: '127.0.0.1:0', authentication_secret_file: {tmp_path}/secret, max_connection_age: 9s}}"
    )
    section = file(tmp_path, f"private_api: {{listen: {listens}}}").private_api
    assert section is not None
    environment = {"OWN_PRIVATE_API_URL": "grpc://10.0.0.5:8155"}
    with ExitStack() as stack:
        made = file_settings.private_api(section, environment, stack)
    assert (made.own_url, made.max_connection_age_s) == ("grpc://10.0.0.5:8155", 9)
    assert (made.secret, made.tls) == (b"k" * 32, None)
    assert "kkk" not in repr(made)


def test_there_is_an_audit_log_where_the_file_says(tmp_path: Path):
    section = file(tmp_path, "kasbah: {audit: {directory: /a, reads: false, keep_mebibytes: 3}}").kasbah
    made = file_settings.audit(section.audit)
    assert (made.directory, made.reads, made.log.keep_bytes) == (Path("/a"), False, 3 * 1024 * 1024)
    assert not file_settings.access_log(section.access_log).file


def test_without_a_word_there_is_neither_audit_nor_access_log(tmp_path: Path):
    section = file(tmp_path, "").kasbah
    assert file_settings.audit(section.audit).directory is None
    given = file(tmp_path, "kasbah: {access_log: {file: '-'}}").kasbah.access_log
    assert file_settings.access_log(given).file == "-"


def test_traces_go_where_the_file_says_with_its_token(tmp_path: Path):
    (tmp_path / "token").write_text("secret\n")
    text = f"tracing: {{otlp_endpoint: 'http://c/v1/traces', otlp_token_secret_file: {tmp_path / 'token'}}}"
    section = file(tmp_path, f"observability: {{{text}}}").observability.tracing
    assert section is not None
    made = file_settings.tracing(section)
    assert (made.otlp_endpoint, made.token.reveal(), made.tls) == ("http://c/v1/traces", "secret", None)
