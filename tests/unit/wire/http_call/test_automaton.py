"""The tables have exactly the arms of the messages."""

from __future__ import annotations

import pytest

from kasbah.wire.automaton import END, START, Automaton
from kasbah.wire.http_call.automaton import HTTP_REQUEST, HTTP_RESPONSE
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse


@pytest.mark.parametrize(("message", "table"), [(HttpRequest, HTTP_REQUEST), (HttpResponse, HTTP_RESPONSE)])
def test_every_arm_has_its_place(message: type[HttpRequest | HttpResponse], table: Automaton):
    arms = {field.name for field in message.DESCRIPTOR.oneofs_by_name["message"].fields}
    assert set(table) == arms | {START}
    assert {arm for arm, after in table.items() if END in after} == {"trailer", "upgradeData"}
