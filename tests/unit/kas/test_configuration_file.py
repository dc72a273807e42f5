"""kas' configuration file, good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.kas import configuration_file

MINIMAL = "gitlab: {address: 'http://gitlab', authentication_secret_file: /secret}\n"


def read(tmp_path: Path, text: str) -> configuration_file.ConfigurationFile:
    path = tmp_path / "kas.yaml"
    path.write_text(text)
    return configuration_file.read(path)


def test_a_minimal_file_has_gitlabs_defaults(tmp_path: Path):
    file = read(tmp_path, MINIMAL)
    assert file.agent.kubernetes_api is None
    assert configuration_file.seconds(file.agent.configuration.poll_period) == 300
    assert file.agent.configuration.max_configuration_file_size == 131072


def test_gitlabs_own_minimal_file_works(tmp_path: Path):
    file = read(
        tmp_path,
        MINIMAL
        + """
agent:
  listen: {address: ":8150", websocket: true}
  kubernetes_api: {listen: {address: ":8154"}, url_path_prefix: /k8s-proxy/}
redis: {server: {address: "redis:6379"}}
api: {listen: {address: ":8153", authentication_secret_file: /s}}
private_api: {listen: {address: ":8155", authentication_secret_file: /s}}
observability: {listen: {address: ":8151"}}
""",
    )
    assert file.agent.kubernetes_api is not None
    assert file.agent.kubernetes_api.url_path_prefix == "/k8s-proxy/"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file: expected `object`, got `null`"),
        ("gitlab: {}", "address"),
        (MINIMAL + "agnet: {}", "agnet: unknown key; did you mean agent?"),
        (MINIMAL + "agent: {listen: {adress: x}}", "agent.listen.adress: unknown key; did you mean address?"),
        (MINIMAL + "agent: {configuration: {poll_period: 5m}}", "agent.configuration.poll_period"),
        (
            MINIMAL + "agent: {configuration: {max_configuration_file_size: big}}",
            "agent.configuration.max_configuration_file_size: expected `int`",
        ),
        ("gitlab: [", "line 2"),
        ("[" * 100_000, "line 1"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, words: str):
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    assert "kas.yaml" in str(caught.value)


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"/nowhere/kas\.yaml"):
        configuration_file.read(Path("/nowhere/kas.yaml"))


def test_a_secret_is_base64_of_32_bytes(tmp_path: Path):
    path = tmp_path / "secret"
    path.write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
    assert configuration_file.read_secret(str(path)) == b"01234567890123456789012345678901"


@pytest.mark.parametrize("content", ["", "not base64!", "c2hvcnQ="])
def test_another_secret_is_refused_without_showing_it(tmp_path: Path, content: str):
    path = tmp_path / "secret"
    path.write_text(content)
    with pytest.raises(UserError, match="base64 of 32 bytes") as caught:
        configuration_file.read_secret(str(path))
    assert "c2hvcnQ" not in str(caught.value)
