"""What a hostile agent may answer: who asked it hears an error of kas' or a connection that breaks, and nobody else a thing."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from tests.doubles.hostile_grpc import RST, data, frame, hostile
from tests.doubles.hostile_tunnel import (
    END,
    HEADER,
    TRAILER,
    HostileTunnel,
    body,
    head,
    head_with,
    upgraded,
    wrapped,
)
from tests.doubles.running_agentk import until
from tests.integration.hostile.conftest import Answer, Scene, bystander, kas_among_hostiles, request, token_of

pytestmark = pytest.mark.asyncio

SPDY = b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
EXEC = b"POST /api/v1/namespaces/a/pods/b/exec?command=sh"
EVIL = Values(value=["evil"])
REFUSED: dict[str, tuple[bytes, ...]] = {
    "nothing": (),
    "a body and no head": (body(b"x"),),
    "two heads": (head(), head()),
    "a head of nothing": (wrapped(header={}),),
    "a head behind the end": (head(), END, head()),
    "upgradeData without 101": (head(), upgraded(b"x")),
    "101 without being asked": (head(101, upgrade="SPDY/3.1", connection="upgrade"),),
    "a status of 0": (head(0),),
    "a status of 99": (head(99),),
    "a status of 100": (head(100),),
    "a status of 103": (head(103),),
    "a status of 600": (head(600),),
    "a status of 1000": (head(1000),),
    "a negative status": (head(-200),),
    "a line end in a value": (head(x="a\r\nSet-Cookie: evil"),),
    "a zero byte in a value": (head(x="a\0b"),),
    "a line end in a name": (head_with({"X\r\nEvil": EVIL}),),
    "a space in a name": (head_with({"X Evil": EVIL}),),
    "a colon in a name": (head_with({"X:Evil": EVIL}),),
    "an empty name": (head_with({"": EVIL}),),
    "a name that is not ASCII": (head_with({"Évil": EVIL}),),
    "200 KiB of headers": (head(x="y" * 200_000),),
    "a thousand headers": (head_with({f"X-{n}": EVIL for n in range(8000)}),),
    "a redirect": (head(302, location="https://evil.example"),),
    "a permanent redirect": (head(308, location="/evil"),),
    "a negative length": (head(content_length="-1"), body(b"x")),
    "a length that is none": (head(content_length="1e3"), body(b"x")),
    "two lengths": (head_with({"Content-Length": Values(value=["1", "2"])}), body(b"x")),
    "a length in two spellings": (
        head_with({"Content-Length": Values(value=["1"]), "content-length": Values(value=["2"])}),
        body(b"x"),
    ),
    "an enormous length": (head(content_length="9" * 40), body(b"x")),
}
"""None of these answers is an answer; the words between the tunnel's header and its end."""


async def asked(
    scene: Scene, tunnel: HostileTunnel, *words: bytes, line: bytes = b"GET /version", **more: bytes
) -> Answer:
    """Ask, and let the tunnel answer with these words."""
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(scene.ask(2, line, **more))
        await until(lambda: tunnel.asked)
        tunnel.answer(*words)
    return asking.result()


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_no_answer_is_an_error_or_breaks_off(what: str):
    async with kas_among_hostiles() as scene, bystander(scene), hostile(scene.port) as peer:
        beside = HostileTunnel(peer, 1, token_of(2))
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(scene.ask(2, b"GET /beside"))
            await until(lambda: beside.asked)
            got = await asked(scene, HostileTunnel(peer, 3, token_of(2)), *REFUSED[what])
            beside.answer(head(), body(b"well"))
        assert waiting.result().body == b"4\r\nwell\r\n0\r\n\r\n"
        assert not peer.goaways
        assert b"evil" not in got.head.lower()
        if got.status != 502:  # the head was said when it became clear
            assert got.status in {0, 200}
            assert not got.body.endswith(b"0\r\n\r\n"), got
        else:
            assert json.loads(got.body)["kind"] == "Status"


async def test_more_or_less_than_the_length_breaks_off():
    async with kas_among_hostiles() as scene, hostile(scene.port) as peer:
        more = await asked(
            scene, HostileTunnel(peer, 1, token_of(2)), head(content_length="3"), body(b"abcdef")
        )
        assert len(more.body) <= 3 or more.status == 502
        less = await asked(scene, HostileTunnel(peer, 3, token_of(2)), head(content_length="9"), body(b"abc"))
        assert less.status == 502 or len(less.body) < 9


@pytest.mark.parametrize(
    "fields",
    [
        {"set_cookie": "evil=1"},
        {"www_authenticate": "Basic realm=evil"},
        {"access_control_allow_origin": "evil"},
        {"transfer_encoding": "evil"},
        {"connection": "x-evil", "x_evil": "evil"},
        {"trailer": "evil"},
        {"upgrade": "evil"},
        {"location": "evil"},
        {"x_frame_options": "evil"},
    ],
)
async def test_what_an_agent_may_not_say_to_a_person_is_left_out(fields: dict[str, str]):
    async with kas_among_hostiles() as scene, hostile(scene.port) as peer:
        got = await asked(
            scene, HostileTunnel(peer, 1, token_of(2)), head(200, "evil\r\nevil: evil", **fields), body(b"x")
        )
        assert b"evil" not in got.head
        assert (got.status, got.body) in [(200, b"1\r\nx\r\n0\r\n\r\n"), (502, got.body)]


async def test_an_upgrade_is_what_was_asked_for_or_nothing():
    """Without a 101, or with a body behind it, nothing of the agent's is a pipe."""
    async with kas_among_hostiles() as scene, bystander(scene), hostile(scene.port) as peer:
        for index, words in enumerate(
            [
                (upgraded(b"evil"),),
                (head(200), upgraded(b"evil")),
                (head(101, upgrade="SPDY/3.1", connection="upgrade"), body(b"evil")),
            ]
        ):
            tunnel = HostileTunnel(peer, 2 * index + 1, token_of(2))
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(_upgrade(scene))
                await until(partial(lambda it: it.asked, tunnel))
                tunnel.say(HEADER, *words)
            assert b"evil" not in asking.result()


async def _upgrade(scene: Scene) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
    writer.write(request(2, EXEC, SPDY))
    got = b""
    try:
        async with asyncio.timeout(0.5):
            while said := await reader.read(65536):
                got += said
    except (TimeoutError, ConnectionError):
        pass
    writer.transport.abort()
    return got


async def test_answering_twice_reaches_nobody():
    """Neither who has its answer, nor who asks next."""
    async with kas_among_hostiles() as scene, bystander(scene), hostile(scene.port) as peer:
        first = HostileTunnel(peer, 1, token_of(2))
        assert (await asked(scene, first, head(), body(b"one"))).body == b"3\r\none\r\n0\r\n\r\n"
        first.say(HEADER, head(), body(b"evil"), END, TRAILER, end=True)
        second = HostileTunnel(peer, 3, token_of(2))
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(scene.ask(2))
            await until(lambda: second.asked)
            first.answer(head(), body(b"evil"))
            peer.say(data(1, head(), body(b"evil")))
            second.answer(head(), body(b"two"))
        assert asking.result().body == b"3\r\ntwo\r\n0\r\n\r\n"


async def test_two_tunnels_whose_answers_change_places_are_the_agents_own_affair():
    """An agent can lie about its own cluster and about no other: each tunnel serves its own agent."""
    async with kas_among_hostiles() as scene, hostile(scene.port) as peer, hostile(scene.port) as other:
        mine, theirs = HostileTunnel(peer, 1, token_of(2)), HostileTunnel(other, 1, token_of(3))
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(scene.ask(3))
            await until(lambda: theirs.asked)
            mine.answer(head(), body(b"evil"))
            peer.say(data(3, HEADER, head(), body(b"evil")))  # a stream it has never opened
            theirs.answer(head(), body(b"good"))
        assert asking.result().body == b"4\r\ngood\r\n0\r\n\r\n"
        assert mine.asked is None


async def test_answers_to_who_has_gone_are_thrown_away():
    async with kas_among_hostiles() as scene, bystander(scene), hostile(scene.port) as peer:
        for index in range(20):
            tunnel = HostileTunnel(peer, 2 * index + 1, token_of(2))
            _, writer = await asyncio.open_connection("127.0.0.1", scene.port)
            writer.write(request(2))
            await until(partial(lambda it: it.asked, tunnel))
            writer.transport.abort()
            tunnel.answer(head(), *[body(bytes(10_000))] * 20)
        again = HostileTunnel(peer, 101, token_of(2))
        assert (await asked(scene, again, head(), body(b"x"))).status == 200


async def test_ten_thousand_tiny_messages_that_nobody_reads_are_held_back():
    """kas keeps what the windows allow, and the other tunnels of the connection go on."""
    async with kas_among_hostiles() as scene, bystander(scene), hostile(scene.port) as peer:
        stuck = HostileTunnel(peer, 1, token_of(2))
        _, writer = await asyncio.open_connection("127.0.0.1", scene.port, limit=1)
        writer.write(request(2, b"GET /api/v1/pods?watch=1"))
        await until(lambda: stuck.asked)
        stuck.say(HEADER, head())
        word = data(1, *[body(b"x" * 30)] * 10_000)
        await asyncio.to_thread(peer.say, word)
        beside = HostileTunnel(peer, 3, token_of(2))
        assert (await asked(scene, beside, head(), body(b"well"))).status in {200, 502}
        writer.transport.abort()


async def test_tunnels_that_are_reset_in_the_middle_break_off_their_own_requests():
    soon = KubernetesApiSettings(agent_wait_s=0.2)  # what was not answered is asked once more
    async with (
        kas_among_hostiles(kubernetes_api=soon) as scene,
        bystander(scene),
        hostile(scene.port) as peer,
    ):
        for index, words in enumerate([(), (HEADER,), (HEADER, head()), (HEADER, head(), body(b"x"))]):
            stream_id = 2 * index + 1
            tunnel = HostileTunnel(peer, stream_id, token_of(2))
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(scene.ask(2))
                await until(partial(lambda it: it.asked, tunnel))
                tunnel.say(*words)
                peer.say(frame(RST, stream_id, b"\0\0\0\x08"))
            assert not asking.result().body.endswith(b"0\r\n\r\n")
