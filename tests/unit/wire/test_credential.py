from __future__ import annotations

import pytest

from kasbah.wire import http1
from kasbah.wire.credential import Credential, UnreadableCredentialError, read_credential

COOKIE = b"Cookie: a=b; _gitlab_kas=s%2F1; c=d"
AGENT = b"Gitlab-Agent-Id: 7"
CSRF = b"X-Csrf-Token: t"


def read(*lines: bytes, target: bytes = b"/version") -> Credential:
    return read_credential(
        http1.request_head(b"\r\n".join((b"GET %b HTTP/1.1" % target, b"Host: a", *lines, b"", b"")))
    )


@pytest.mark.parametrize(
    ("header", "kind", "token"),
    [(b"pat:7:glpat-x", "pat", "glpat-x"), (b"ci:7:a:b", "ci", "a:b"), (b"ci:007:x", "ci", "x")],
)
def test_a_bearer_names_its_kind_the_agent_and_the_token(header, kind, token):
    credential = read(b"Authorization: Bearer " + header)
    assert (credential.kind, credential.agent_id, credential.token) == (kind, 7, token)
    assert token not in repr(credential)


@pytest.mark.parametrize(
    ("lines", "target"),
    [
        ((COOKIE, AGENT, CSRF), b"/version"),
        ((COOKIE,), b"/version?gitlab-agent-id=7&gitlab-csrf-token=t"),
        ((COOKIE, AGENT, CSRF), b"/version?gitlab-agent-id=8&gitlab-csrf-token=u"),
    ],
)
def test_a_session_is_a_cookie_with_agent_and_csrf_token_beside_it(lines, target):
    credential = read(*lines, target=target)
    assert (credential.kind, credential.agent_id, credential.token) == ("session", 7, "s/1")
    assert credential.csrf_token == "t"


@pytest.mark.parametrize(
    ("lines", "target", "cause"),
    [
        ((), b"/", "no valid credentials provided"),
        ((b"Cookie: x_gitlab_kas=1",), b"/", "no valid credentials provided"),
        ((COOKIE, AGENT, CSRF, b"Authorization: Bearer pat:7:x"), b"/", "expecting a single credential"),
        ((COOKIE, COOKIE, AGENT, CSRF), b"/", "expecting a single session cookie, got 2"),
        (
            (COOKIE, CSRF),
            b"/",
            'exactly one agent id must be provided either in the "Gitlab-Agent-Id" header',
        ),
        ((COOKIE, AGENT, AGENT, CSRF), b"/", "exactly one agent id"),
        ((COOKIE, AGENT), b"/?gitlab-csrf-token=a&gitlab-csrf-token=b", "exactly one CSRF token"),
        ((COOKIE, AGENT, b"X-Csrf-Token:"), b"/", "exactly one CSRF token"),
        ((COOKIE, b"Gitlab-Agent-Id: x", CSRF), b"/", "agent id: failed to parse"),
        ((b"Cookie: _gitlab_kas=", AGENT, CSRF), b"/", "the session cookie or CSRF token cannot"),
    ],
)
def test_anything_but_exactly_one_is_refused(lines, target, cause):
    with pytest.raises(UnreadableCredentialError) as caught:
        read(*lines, target=target)
    assert str(caught.value).startswith(cause)


def test_each_part_makes_another_key():
    lines = [(b"Authorization: Bearer pat:7:x",), (b"Authorization: Bearer ci:7:x",)]
    lines += [(b"Authorization: Bearer pat:8:x",), (COOKIE, AGENT, CSRF), (COOKIE, AGENT, b"X-Csrf-Token: u")]
    assert len({read(*each).key for each in lines}) == len(lines)


@pytest.mark.parametrize(
    ("agent", "problem"),
    [
        (b"9223372036854775807", ""),
        (b"9223372036854775808", "value out of range"),
        (b"9999999999999999999", "value out of range"),
        (b"10000000000000000000", "invalid syntax"),
        (b"0" * 16 + b"7", ""),
        (b"0" * 10_000 + b"7", "invalid syntax"),
        (b"0", "invalid syntax"),
        (b"-1", "invalid syntax"),
        (b"7 ", "invalid syntax"),
    ],
)
def test_an_agents_id_is_one_that_the_git_side_can_hold(agent, problem):
    header = b"Authorization: Bearer pat:" + agent + b":x"
    if not problem:
        assert read(header).agent_id == int(agent)
        return
    with pytest.raises(UnreadableCredentialError, match=problem) as caught:
        read(header)
    assert len(str(caught.value)) < 200
