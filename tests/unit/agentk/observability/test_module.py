from __future__ import annotations

import pytest

from kasbah.agentk.observability.module import Observability, split_address
from kasbah.agentk.settings import ObservabilitySettings
from kasbah.errors import UserError
from kasbah.wire.pb.gitlab.agent.agentcfg.agentcfg_pb2 import AgentConfiguration

MODULE = Observability(ObservabilitySettings(), lambda: "")


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        (":8080", None, 8080),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("[::1]:80", "::1", 80),
        ("localhost:1", "localhost", 1),
    ],
)
def test_an_address_is_host_and_port(address: str, host: str | None, port: int):
    assert split_address(address) == (host, port)


@pytest.mark.parametrize("address", ["8080", "", ":x", ":99999", ":-1", ":²"])
def test_an_address_that_is_none_is_refused(address: str):
    with pytest.raises(UserError, match="HOST:PORT"):
        split_address(address)


def test_every_level_of_the_configuration_is_known():
    for level in ("info", "debug", "warn", "error"):
        configuration = AgentConfiguration()
        configuration.observability.logging.level = (
            configuration.observability.logging.DESCRIPTOR.fields_by_name["level"]
            .enum_type.values_by_name[level]
            .number
        )
        MODULE.validate(configuration)


def test_a_level_of_the_future_is_refused():
    configuration = AgentConfiguration()
    configuration.observability.logging.level = 9  # type: ignore[assignment]
    with pytest.raises(UserError, match=r"observability\.logging\.level"):
        MODULE.validate(configuration)
