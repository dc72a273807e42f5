"""Credentials: every pair of places that can carry one, and thousands that are nearly one.

Exactly one credential opens the way to asking the Git side; two of them never do, whichever comes first, and what is
nearly one is refused before anybody is asked. No token is in what the client hears.
"""

from __future__ import annotations

import random
from itertools import product

import pytest

from kasbah.wire import http1, request_policy
from kasbah.wire.credential import Credential
from kasbah.wire.http1 import MalformedMessageError
from kasbah.wire.request_policy import RefusedRequestError

SECRET = "s3cr3t-of-mia"
TOKEN = SECRET.encode()
PAT, JOB = b"Authorization: Bearer pat:7:" + TOKEN, b"Authorization: Bearer ci:7:" + TOKEN
COOKIE = b"Cookie: _gitlab_kas=" + TOKEN
AGENT, CSRF = b"Gitlab-Agent-Id: 7", b"X-Csrf-Token: t"
SESSION = COOKIE + b"\r\n" + AGENT + b"\r\n" + CSRF
IN_QUERY = b"gitlab-agent-id=7&gitlab-csrf-token=t"

CARRIERS: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "a personal token": (PAT, b""),
    "a job token": (JOB, b""),
    "a session": (SESSION, b""),
    "a session by query": (COOKIE, IN_QUERY),
    "a cookie alone": (COOKIE, b""),
    "an agent's id alone": (AGENT, b""),
    "a csrf token alone": (CSRF, b""),
    "a query alone": (b"", IN_QUERY),
    "another agent's id": (b"Gitlab-Agent-Id: 8", b""),
    "another agent by query": (b"", b"gitlab-agent-id=8"),
    "a lower-case scheme": (PAT.replace(b"Bearer", b"bearer"), b""),
    "a password": (b"Authorization: Basic cGF0Ojc6czNjcjN0", b""),
    "an empty header": (b"Authorization:", b""),
    "a bare token": (b"Authorization: Bearer " + TOKEN, b""),
    "a private token": (b"Private-Token: " + TOKEN, b""),
    "a job token's header": (b"Job-Token: " + TOKEN, b""),
    "a proxy's header": (b"Proxy-Authorization: Bearer pat:7:" + TOKEN, b""),
    "a websocket protocol": (b"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.czNjcjN0", b""),
    "a parameter of the cluster's own": (b"", b"access_token=not-ours"),
    "a second cookie": (b"Cookie: _gitlab_kas=other", b""),
}  # fmt: skip
GOOD = {
    "a personal token": "pat",
    "a job token": "ci",
    "a session": "session",
    "a session by query": "session",
}
HEADERS = {name for name, (header, _) in CARRIERS.items() if header.startswith(b"Authorization")}
COOKIES = {name for name, (header, _) in CARRIERS.items() if b"Cookie: _gitlab_kas" in header}


def read(*carriers: str) -> Credential:
    lines = [CARRIERS[name][0] for name in carriers if CARRIERS[name][0]]
    query = b"&".join(CARRIERS[name][1] for name in carriers if CARRIERS[name][1])
    target = b"/api/v1/pods" + (b"?" + query if query else b"")
    raw = b"\r\n".join((b"GET " + target + b" HTTP/1.1", b"Host: kas", *lines, b"", b""))
    request = request_policy.prepare(http1.request_head(raw), 0)
    assert TOKEN not in request.head
    assert b"gitlab-" not in request.head
    return request.credential


def expected(one: str, other: str) -> str:
    """What this pair is: a kind, or a refusal. An oracle of its own."""
    sent = [name for name in (one, other) if name != "nothing"]
    headers, cookies = [n for n in sent if n in HEADERS], [n for n in sent if n in COOKIES]
    if len(headers) > 1 or len(cookies) > 1 or (headers and cookies):
        return "refused"
    if headers:
        return GOOD.get(headers[0], "refused")
    if not cookies:
        return "refused"
    header_ids = sum(CARRIERS[name][0].count(b"Gitlab-Agent-Id") for name in sent)
    query_ids = sum(CARRIERS[name][1].count(b"gitlab-agent-id") for name in sent)
    header_csrf = sum(CARRIERS[name][0].count(b"X-Csrf-Token") for name in sent)
    query_csrf = sum(CARRIERS[name][1].count(b"gitlab-csrf-token") for name in sent)
    one_agent = header_ids == 1 or (not header_ids and query_ids == 1)
    one_csrf = header_csrf == 1 or (not header_csrf and query_csrf == 1)
    return "session" if one_agent and one_csrf else "refused"


@pytest.mark.parametrize("flip", [False, True], ids=["in this order", "the other way round"])
def test_two_credentials_are_none(flip, tally):
    for one, other in product(CARRIERS, repeat=2):
        pair = (other, one) if flip else (one, other)
        try:
            found = str(read(*pair).kind)
        except RefusedRequestError as error:
            found = "refused" if error.status == 401 and SECRET not in str(error) else f"told {error}"
        assert found == expected(*pair), pair
        tally(found)


def nearly() -> list[bytes]:
    """Ten thousand headers that differ from a good one by a few bytes, always the same ones."""
    chance = random.Random(7)
    alphabet = b"pat:ci0123456789 \t,;=%\x00\xff\"'Bearer-_/AZ"
    made = []
    for _ in range(10_000):
        value = bytearray(chance.choice([b"Bearer pat:7:" + TOKEN, b"Bearer ci:7:" + TOKEN]))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(value) - len(TOKEN))
            match chance.randrange(3):
                case 0:
                    value[place] = chance.choice(alphabet)
                case 1:
                    value.insert(place, chance.choice(alphabet))
                case _:
                    del value[place]
        made.append(bytes(value))
    return made


def test_what_is_nearly_a_credential_is_one_or_refused(tally):
    for value in nearly():
        raw = b"GET /x HTTP/1.1\r\nHost: kas\r\nAuthorization: " + value + b"\r\n\r\n"
        try:
            credential = request_policy.prepare(http1.request_head(raw), 0).credential
        except (RefusedRequestError, MalformedMessageError) as error:
            told = str(error)
            tally(f"refused with {error.status}")
            assert SECRET not in told
            continue
        trimmed = value.strip(b" \t").decode("latin-1")
        scheme, _, rest = trimmed.partition(" ")
        kind, agent, token = rest.split(":", 2)
        assert (scheme, kind, int(agent), token) == (
            "Bearer",
            credential.kind,
            credential.agent_id,
            credential.token,
        )
        assert agent.isdecimal()
        assert agent.isascii()
        tally(f"a {kind} credential")
