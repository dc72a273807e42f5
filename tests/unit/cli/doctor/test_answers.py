from __future__ import annotations

import json

import pytest

from kasbah.cli.doctor import answers
from kasbah.kit.doctor.check import FaultError
from kasbah.kit.doctor.link import Answer


def status(code: int, message: str) -> Answer:
    return Answer(status=code, body=json.dumps({"kind": "Status", "message": message, "code": code}).encode())


def of_kas(code: int, text: str) -> Answer:
    return status(code, f"GitLab Agent Server: {text}. Trace ID: 0123")


def test_an_expected_answer_is_its_document():
    assert answers.judge(Answer(status=201, body=b'{"a": 1}'), "/x", expected=(200, 201)) == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (of_kas(401, "Unauthorized"), "agent-not-allowed"),
        (of_kas(403, "Forbidden"), "agent-not-allowed"),
        (
            of_kas(502, "Proxy failed to make outbound request: Agent connection not found. Is"),
            "agent-not-connected",
        ),
        (of_kas(503, "Agent connection not found"), "agent-not-connected"),
        (of_kas(502, "the agent cannot reach the Kubernetes API server: dial tcp"), "agent-cluster-away"),
        (of_kas(503, "the agent is not connected just now and is expected back"), "agent-not-connected"),
        (of_kas(503, "all tunnels of the agent are busy; try again"), "kas-busy"),
        (of_kas(429, "Too many requests"), "kas-busy"),
        (of_kas(413, "The request's body is over 1 bytes"), "kas-body-limit"),
        (of_kas(500, "Failed to authorize user session"), "kas-refuses"),
        (status(403, 'users "mia" is forbidden: User "a" cannot impersonate'), "agent-may-not-impersonate"),
        (status(401, "Unauthorized"), "agent-credential"),
        (status(404, "not found"), "api-server-refuses"),
        (Answer(status=502, body=b"<html>"), "http-gateway"),
        (Answer(status=200, body=b"<html>", headers={"content-type": "text/html"}), "http-web-page"),
        (Answer(status=200, body=b"[" * 100_000), "http-foreign-answer"),
        (Answer(status=201, body=b"[]"), "http-foreign-answer"),
    ],
)
def test_every_other_answer_is_named_by_who_gives_it(answer: Answer, fault: str):
    with pytest.raises(FaultError) as found:
        answers.judge(answer, "/version", expected=(200, 201))
    assert found.value.fault == fault


def test_what_kas_says_is_told_to_the_person():
    with pytest.raises(FaultError, match="Unauthorized: the environment matches none"):
        answers.judge(of_kas(401, "Unauthorized: the environment matches none"), "/version", expected=(200,))


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (of_kas(401, "Unauthorized: CI job token: HTTP status code: 401"), "is the job over"),
        (of_kas(403, "Forbidden: agentId is not allowed"), "a CI job by `ci_access`"),
        (of_kas(401, "Unauthorized"), "a person by `user_access`"),
    ],
)
def test_jobs_and_people_get_advice_of_their_own(answer: Answer, advice: str):
    with pytest.raises(FaultError) as found:
        answers.judge(answer, "/version", expected=(200,))
    assert advice in found.value.advice


def test_what_kas_wrote_below_a_refusal_is_shown_line_by_line():
    with pytest.raises(FaultError) as found:
        answers.judge(status(403, "pods is forbidden\n\nyou  mia\n\nkind: Role"), "/x", expected=(200,))
    assert str(found.value).endswith("answers 403: pods is forbidden")
    assert found.value.details == ("you  mia", "", "kind: Role")


def test_what_is_shown_below_a_refusal_has_an_end():
    with pytest.raises(FaultError) as found:
        answers.judge(status(403, "no\n\n" + "x\n" * 1000), "/x", expected=(200,))
    assert len(found.value.details) == 100


def test_a_status_is_known_by_its_kind():
    assert answers.is_status(status(404, "no"))
    assert not answers.is_status(Answer(status=404, body=b"no"))
