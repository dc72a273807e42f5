from __future__ import annotations

import pytest

from kasbah.kas.kubernetes_api import watch_failures


def test_what_cannot_go_on_is_expired_so_that_clients_list_again():
    assert watch_failures.expired().code == 410
    assert watch_failures.refused(410).text == watch_failures.expired().text


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_keeps_its_status(status: int):
    failure = watch_failures.refused(status)
    assert (failure.code, str(status) in failure.text) == (status, True)


def test_who_did_not_come_back_is_named():
    away, silent = (watch_failures.unreachable(connected=connected) for connected in (False, True))
    assert (away.code, away.retry_after_s, "agent" in away.text) == (503, 1, True)
    assert (silent.code, "API server" in silent.text) == (504, True)
