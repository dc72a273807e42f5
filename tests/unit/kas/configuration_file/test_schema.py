"""The rules of kas' configuration file that need more than one key, and GitLab's defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.kas.configuration_file.reading import read
from kasbah.kas.configuration_file.schema import ConfigurationFile

MINIMAL = "gitlab: {address: 'http://gitlab', authentication_secret_file: /secret}\n"
LISTEN = "authentication_secret_file: /s"


def file(tmp_path: Path, text: str) -> ConfigurationFile:
    path = tmp_path / "kas.yaml"
    path.write_text(MINIMAL + text)
    return read(path).file


def test_a_minimal_file_has_gitlabs_defaults(tmp_path: Path):
    made = file(tmp_path, f"api: {{listen: {{{LISTEN}}}}}\nprivate_api: {{listen: {{{LISTEN}}}}}")
    assert made.api is not None
    assert made.private_api is not None
    listens = (made.agent.listen, made.observability.listen, made.api.listen, made.private_api.listen)
    assert [listen.address for listen in listens] == [
        f"127.0.0.1:{port}" for port in (8150, 8151, 8153, 8155)
    ]
    assert (made.gitlab.api_rate_limit.refill_rate_per_second, made.gitlab.api_rate_limit.bucket_size) == (
        50,
        250,
    )
    assert made.agent.kubernetes_api is None
    assert (made.agent.configuration.poll_period, made.observability.usage_reporting_period) == (300, 60)
    assert (made.agent.listen.max_connection_age, made.agent.listen.listen_grace_period) == (7200, 5)


def test_a_file_of_gitlabs_works(tmp_path: Path):
    made = file(
        tmp_path,
        f"""
agent:
  listen: {{address: ":8150", websocket: true}}
  kubernetes_api: {{listen: {{address: ":8154"}}, url_path_prefix: /k8s-proxy/, websocket_token_secret_file: /w}}
redis: {{server: {{address: "redis:6379"}}, tls: {{enabled: true}}, password_file: /p, database_index: 3}}
api: {{listen: {{address: ":8153", {LISTEN}}}}}
private_api: {{listen: {{network: unix, address: /run/kas.sock, {LISTEN}}}}}
observability: {{listen: {{address: ":8151"}}}}
""",
    )
    assert made.agent.kubernetes_api is not None
    assert made.agent.kubernetes_api.url_path_prefix == "/k8s-proxy/"
    assert made.redis is not None
    assert made.redis.server is not None
    assert (made.redis.server.address, made.redis.database_index) == ("redis:6379", 3)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "agent: {listen: {certificate_file: x}}",
            "agent.listen.certificate_file: certificate_file and key_file",
        ),
        ("agent: {listen: {address: '8150'}}", "agent.listen.address: '8150' is not HOST:PORT"),
        ("agent: {listen: {address: ':99999'}}", "agent.listen.address: ':99999' is not HOST:PORT"),
        ("agent: {listen: {network: unix}}", "agent.listen.address: '127.0.0.1:8150' is not a path"),
        ("agent: {listen: {network: udp}}", "agent.listen.network: invalid enum value 'udp'"),
        ("agent: {redis_conn_info_ttl: 0s}", "agent.redis_conn_info_ttl: expected a duration longer than 0s"),
        (
            "observability: {prometheus: {url_path: metrics}}",
            "observability.prometheus.url_path: expected a path",
        ),
        ("observability: {tracing: {}}", "observability.tracing.otlp_endpoint: required"),
        ("observability: {logging: {level: loud}}", "observability.logging.level: invalid enum value 'loud'"),
        ("redis: {}", "redis.server: give server or sentinel"),
        (
            "redis: {server: {address: x}, sentinel: {master_name: m, addresses: [a]}}",
            "redis.server: give server",
        ),
        ("redis: {server: {}}", "redis.server.address: required"),
        ("redis: {sentinel: {master_name: m, addresses: []}}", "redis.sentinel.addresses: expected `array`"),
        (
            "redis: {server: {address: x}, tls: {key_file: k}}",
            "redis.tls.certificate_file: certificate_file and",
        ),
        ("redis: {server: {address: x}, database_index: -1}", "redis.database_index: expected `int` >= 0"),
        ("api: {}", "api.listen.authentication_secret_file: required"),
    ],
)
def test_a_rule_that_is_broken_is_named_by_its_key(tmp_path: Path, text: str, problem: str):
    with pytest.raises(UserError) as caught:
        file(tmp_path, text)
    assert f": {problem}" in str(caught.value)
