from __future__ import annotations

import pytest

from kasbah.kit.doctor import http_faults
from kasbah.kit.doctor.link import Answer

HTML = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(status=301, headers={"location": "/agents/"}), "http-missing-slash"),
        (Answer(status=308, headers={"location": "https://kas.example/agents/?a=b"}), "http-missing-slash"),
        (Answer(status=301, headers={"location": "https://kas.example/agents"}), "http-redirect-to-tls"),
        (Answer(status=302, headers={"location": "https://login.example/"}), "http-redirect"),
        (Answer(status=302), "http-redirect"),
        (Answer(status=302, headers={"location": "http://[broken"}), "http-redirect"),
        (Answer(status=400, body=b"The plain HTTP request was sent to HTTPS port"), "http-needs-tls"),
        (Answer(status=400, body=b"Client sent an HTTP request to an HTTPS server."), "http-needs-tls"),
        (Answer(status=401), "http-not-let-in"),
        (Answer(status=403), "http-not-let-in"),
        (Answer(status=404), "http-wrong-path"),
        (Answer(status=413), "http-body-too-large"),
        (Answer(status=426), "http-upgrade-dropped"),
        (Answer(status=502), "http-gateway"),
        (Answer(status=504), "http-gateway"),
        (Answer(status=200, headers=HTML), "http-web-page"),
        (Answer(status=200), "http-foreign-answer"),
        (Answer(status=418), "http-foreign-answer"),
    ],
)
def test_an_answer_of_somebody_else_has_a_name(answer: Answer, fault: str):
    found = http_faults.of(answer, server="kas", target="/agents?a=b")
    assert found.fault == fault
    assert str(found)
    assert found.advice
