"""kas' configuration file, good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.kas.configuration_file.reading import Reading, read
from kasbah.kas.configuration_file.schema import ConfigurationFile

MINIMAL = "gitlab: {address: 'http://gitlab', authentication_secret_file: /secret}\n"


def reading(tmp_path: Path, text: str) -> Reading:
    path = tmp_path / "kas.yaml"
    path.write_text(text)
    return read(path)


def file(tmp_path: Path, text: str) -> ConfigurationFile:
    return reading(tmp_path, MINIMAL + text).file


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        reading(tmp_path, text)
    first, *others = str(caught.value).splitlines()
    assert str(tmp_path / "kas.yaml") in first
    return [line.strip() for line in others] or [first.partition(".yaml: ")[2]]


def test_a_section_without_a_value_is_absent(tmp_path: Path):
    read_file = file(tmp_path, "agent: {kubernetes_api: , listen: }\nredis:\n")
    assert read_file.agent.kubernetes_api is None
    assert read_file.agent.listen.address == "127.0.0.1:8150"


def test_an_empty_section_that_is_optional_is_there(tmp_path: Path):
    proxy = file(tmp_path, "agent: {kubernetes_api: {}}").agent.kubernetes_api
    assert proxy is not None
    assert (proxy.listen.address, proxy.url_path_prefix) == ("0.0.0.0:8154", "/")


def test_nothing_and_zero_mean_the_default_but_for_a_duration(tmp_path: Path):
    agent = file(
        tmp_path,
        "agent: {gitops: {max_number_of_files: 0}, listen: {address: ''}, info_cache_ttl: 0s}",
    ).agent
    assert (agent.gitops.max_number_of_files, agent.listen.address) == (1000, "127.0.0.1:8150")
    assert agent.info_cache_ttl == 0


def test_keys_that_govern_nothing_are_taken_and_told(tmp_path: Path):
    told = reading(
        tmp_path,
        MINIMAL
        + """
agent:
  listen: {websocket: true}
  receptive_agent: {poll_period: 60s}
  kubernetes_api: {extra_allowed_response_headers: [X-My]}
observability: {logging: {level: debug, grpc_level: warn}, sentry: {dsn: ""}}
gitaly: {global_api_rate_limit: {refill_rate_per_second: 30, bucket_size: 70}}
workspaces: {enabled: true}
autoflow: {temporal: {host_port: "x"}}
""",
    )
    assert told.without_effect == (
        "agent.listen.websocket",
        "agent.kubernetes_api.extra_allowed_response_headers",
        "agent.receptive_agent.poll_period",
        "observability.logging.grpc_level",
        "gitaly.global_api_rate_limit.refill_rate_per_second",
        "gitaly.global_api_rate_limit.bucket_size",
        "autoflow",
        "workspaces",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "the file: expected keys with values, and not []"),
        (MINIMAL + "agnet: {}", "agnet: unknown key; did you mean agent?"),
        (MINIMAL + "agent: {listen: {adress: x}}", "agent.listen.adress: unknown key; did you mean address?"),
        (MINIMAL + "agent: {poll_period: 1s}", "agent.poll_period: unknown key; did you mean poll_period?"),
        (MINIMAL + "agent: {zzz: 1s}", "agent.zzz: unknown key"),
        (MINIMAL + "agent: 7", "agent: expected keys with values, and not 7"),
        (
            MINIMAL + "agent: {configuration: {poll_period: 5m}}",
            "agent.configuration.poll_period: expected a duration in seconds, such as 300s or 0.5s",
        ),
        (
            MINIMAL + "agent: {configuration: {poll_period: 0s}}",
            "agent.configuration.poll_period: expected a duration longer than 0s",
        ),
        (
            MINIMAL + "agent: {configuration: {max_configuration_file_size: big}}",
            "agent.configuration.max_configuration_file_size: expected `int`, got `str`",
        ),
        (
            MINIMAL + "agent: {gitops: {max_number_of_paths: -1}}",
            "agent.gitops.max_number_of_paths: expected `int` >= 0",
        ),
        (
            MINIMAL + "agent: {listen: {websocket: 1}}",
            "agent.listen.websocket: expected `bool`, got `int`",
        ),
        (
            MINIMAL + "agent: {kubernetes_api: {extra_allowed_response_headers: [1]}}",
            "agent.kubernetes_api.extra_allowed_response_headers[0]: expected `str`, got `int`",
        ),
        ("gitlab: [", "line 2, column 1: did not find expected node content"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(tmp_path: Path, text: str, problem: str):
    (told,) = problems(tmp_path, text)
    assert problem in told


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path):
    assert problems(tmp_path, "redis: {}\nagent: {listen: {key_file: x}, lissten: {}}\nprivate_api: {}") == [
        "gitlab.address: required",
        "gitlab.authentication_secret_file: required",
        "agent.lissten: unknown key; did you mean listen?",
        "agent.listen.certificate_file: certificate_file and key_file belong together: give both or neither",
        "redis.server: give server or sentinel, one of the two",
        "private_api.listen.authentication_secret_file: required",
    ]


def test_a_hopeless_file_is_told_in_bounds(tmp_path: Path):
    told = problems(tmp_path, MINIMAL + "".join(f"{'x' * 500}{n}: 1\n" for n in range(1000)))
    assert len(told) == 31
    assert max(map(len, told)) < 110


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"/nowhere/kas\.yaml: No such file"):
        read(Path("/nowhere/kas.yaml"))


def test_a_file_that_nests_without_end_is_refused(tmp_path: Path):
    (told,) = problems(tmp_path, "[" * 100_000)
    assert "nested deeper" in told
