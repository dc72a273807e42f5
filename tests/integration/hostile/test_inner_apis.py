"""The ports that are not for agents: a token of the wrong kind, or none, is answered by nobody there, and the reverse."""

from __future__ import annotations

import base64
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from kasbah.kas.http_server.server import Listen
from kasbah.kas.internal_api.settings import InternalApiSettings
from kasbah.kit.secrets import Secret
from kasbah.wire.methods import (
    CONNECT,
    GET_CONFIGURATION,
    GET_CONNECTED_AGENTS,
    GIT_PUSH_EVENT,
    KUBERNETES_API_MAKE_REQUEST,
    LIST_AGENT_CONFIG_FILES,
    REGISTER,
)
from kasbah.wire.pb.gitlab.agent.agent_tracker.rpc.rpc_pb2 import GetConnectedAgentsRequest
from kasbah.wire.rpc import Method, StatusCode
from tests.doubles.fake_hub import SECRET
from tests.doubles.forged_jwts import signed
from tests.doubles.hostile_grpc import DATA, block, data, frame, headers, hostile
from tests.doubles.malformed_messages import malformed
from tests.doubles.running_agentk import until
from tests.integration.hostile.conftest import Scene, bystander, kas_among_hostiles, token_of

pytestmark = pytest.mark.asyncio

KEY = b"i" * 32
INTERNAL: list[Method] = [GET_CONNECTED_AGENTS, GIT_PUSH_EVENT, LIST_AGENT_CONFIG_FILES]
AGENTS: list[Method] = [CONNECT, GET_CONFIGURATION, REGISTER]


def jwt(key: bytes = KEY, **changes: object) -> str:
    now = int(time.time())
    return signed({"aud": "gitlab-kas", "iss": "gitlab-rails", "exp": now + 60, "iat": now} | changes, key)


@contextlib.asynccontextmanager
async def kas_with_internal_api() -> AsyncIterator[tuple[Scene, int]]:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
        listen = Listen(host="127.0.0.1", port=port, sockets=[bound])
        async with kas_among_hostiles(
            internal_api_listens=[listen],
            internal_api_secret=Secret(base64.b64encode(KEY).decode()),
            internal_api=InternalApiSettings(greeting_timeout_s=1),
        ) as scene:
            yield scene, port


STRANGERS: dict[str, Callable[[], str | None]] = {
    "nothing": lambda: None,
    "an agent's token": lambda: token_of(2),
    "a person's token": lambda: "pat:2:glpat-good",
    "another secret": lambda: jwt(b"x" * 32),
    "the secret of kas and the Git side": lambda: jwt(SECRET),
    "expired": lambda: jwt(exp=int(time.time()) - 600),
    "another audience": lambda: jwt(aud="gitlab"),
    "kas' own audience for others of its kind": lambda: jwt(aud="kasbah-kas-private-api"),
    "no signature": lambda: jwt().rpartition(".")[0] + ".",
}


@pytest.mark.parametrize("who", STRANGERS)
async def test_the_internal_api_answers_nobody_but_the_git_side(who: str):
    async with kas_with_internal_api() as (scene, port), bystander(scene), hostile(port) as peer:
        methods = [*INTERNAL, *AGENTS]
        for index, method in enumerate(methods):
            called = block(method.path, STRANGERS[who]())
            peer.say(headers(2 * index + 1, called) + data(2 * index + 1, b"", end=True))
        await until(lambda: len(peer.statuses()) == len(methods))
        assert set(peer.statuses().values()) == {StatusCode.UNAUTHENTICATED}
        assert await peer.hung_up()


async def test_each_port_knows_its_own_services_only():
    async with kas_with_internal_api() as (scene, port), hostile(port) as git, hostile(scene.port) as agent:
        foreign = [*AGENTS, KUBERNETES_API_MAKE_REQUEST]
        for index, method in enumerate(foreign):
            git.say(headers(2 * index + 1, block(method.path, jwt())) + data(2 * index + 1, b"", end=True))
        for index, method in enumerate([*INTERNAL, KUBERNETES_API_MAKE_REQUEST]):
            called = block(method.path, token_of(2))
            agent.say(headers(2 * index + 1, called) + data(2 * index + 1, b"", end=True))
        await until(lambda: len(git.statuses()) == len(agent.statuses()) == 4)
        assert set(git.statuses().values()) == set(agent.statuses().values()) == {StatusCode.UNIMPLEMENTED}
        agent.say(headers(11, block(REGISTER.path, jwt())) + data(11, b"", end=True))
        await until(lambda: agent.statuses().get(11) == StatusCode.UNAUTHENTICATED)


async def test_what_agents_say_of_themselves_makes_no_huge_answer():
    """Twenty pods, each with as much about itself as a request may hold; and a question as long as may be."""
    meta = dict.fromkeys(("version", "commit_id", "pod_namespace", "pod_name"), "v" * 8000)
    async with kas_with_internal_api() as (scene, port), bystander(scene), hostile(port) as git:
        for pod in range(20):
            said = REGISTER.request(pod_id=pod + 1, agent_meta=meta).SerializeToString()
            async with hostile(scene.port) as agent:
                agent.say(headers(1, block(REGISTER.path, token_of(2))) + data(1, said, end=True))
                await until(agent.statuses)
                assert agent.statuses()[1] in {StatusCode.OK, StatusCode.INVALID_ARGUMENT}
        question = GetConnectedAgentsRequest(agent_id=2).SerializeToString()
        git.say(headers(1, block(GET_CONNECTED_AGENTS.path, jwt())) + data(1, question, end=True))
        await until(lambda: git.statuses() == {1: StatusCode.OK})
        assert len(git.messages(1)[0]) < 100_000
        too_long = b"\0" + (9 << 20).to_bytes(4)
        git.say(headers(3, block(GET_CONNECTED_AGENTS.path, jwt())) + frame(DATA, 3, too_long))
        await until(lambda: git.statuses().get(3) == StatusCode.RESOURCE_EXHAUSTED)


async def test_every_malformed_question_has_a_status():
    async with kas_with_internal_api() as (scene, port), bystander(scene):
        with capture_logs() as logs:
            for method in INTERNAL:
                wrong = list(malformed(method.request).items())
                for at in range(0, len(wrong), 50):
                    async with hostile(port) as peer:
                        for index, (_, said) in enumerate(wrong[at : at + 50]):
                            called = headers(2 * index + 1, block(method.path, jwt()))
                            peer.say(called + data(2 * index + 1, said, end=True))
                        await until(lambda: len(peer.statuses()) == len(wrong[at : at + 50]))  # noqa: B023
                        documented = {0, 3, 5, 7, 8, 9, 14}
                        for index, (what, _) in enumerate(wrong[at : at + 50]):
                            assert peer.statuses()[2 * index + 1] in documented, (method.path, what)
        assert not [entry for entry in logs if entry["log_level"] in {"error", "critical"}]
