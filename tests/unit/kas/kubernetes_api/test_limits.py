from __future__ import annotations

from dataclasses import replace

from kasbah.kas.kubernetes_api import grant
from kasbah.kas.kubernetes_api.limits import Underway
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from tests.doubles.people import access_of_mia


def granted(principal: str = "user:4", agent_id: int = 7) -> grant.Grant:
    user_id = int(principal.partition(":")[2])
    return grant.issue("g", replace(access_of_mia(), agent_id=agent_id, user_id=user_id), deadline_ms=0)


def test_one_person_has_a_share_and_what_ends_makes_room():
    underway = Underway(KubernetesApiSettings(max_requests_per_principal=1))
    assert underway.enter(granted(), open_ended=False)
    assert not underway.enter(granted(), open_ended=False)
    assert underway.enter(granted("user:5"), open_ended=False)
    underway.leave(granted(), open_ended=False)
    assert underway.enter(granted(), open_ended=False)
    assert underway.total == 2


def test_one_agent_has_a_share():
    underway = Underway(KubernetesApiSettings(max_requests_per_agent=2))
    assert underway.enter(granted("user:1"), open_ended=False)
    assert underway.enter(granted("user:2"), open_ended=False)
    assert not underway.enter(granted("user:3"), open_ended=False)
    assert underway.enter(granted("user:3", agent_id=8), open_ended=False)
    underway.leave(granted("user:1"), open_ended=False)
    assert underway.enter(granted("user:3"), open_ended=False)


def test_streams_are_counted_apart():
    underway = Underway(KubernetesApiSettings(max_requests_per_principal=1, max_streams_per_principal=1))
    assert underway.enter(granted(), open_ended=False)
    assert underway.enter(granted(), open_ended=True)
    assert not underway.enter(granted(), open_ended=True)
    underway.leave(granted(), open_ended=True)
    assert underway.total == 1
