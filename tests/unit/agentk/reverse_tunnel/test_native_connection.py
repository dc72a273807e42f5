"""A connection with our own tunnel: admitted, refused, left by kas, lost."""

from __future__ import annotations

import pytest

from kasbah.agentk.reverse_tunnel.native_connection import NativeConnection
from kasbah.errors import PeerError
from kasbah.wire.native_tunnel.engine import Role
from kasbah.wire.native_tunnel.frames import AgentHello, GoAwayCode, KasHello
from kasbah.wire.stream import StreamKind
from tests.doubles.fake_transport import FakeTransport
from tests.doubles.far_end import FarEnd
from tests.doubles.tunnel_pair import RecordingHandler


class Dialogue:
    """A connection that has greeted, and kas at the other end."""

    def __init__(self) -> None:
        self.transport, self.kas = FakeTransport(), FarEnd(Role.KAS)
        self.accepted: list[tuple[StreamKind, bytes]] = []
        hello = AgentHello(token="glagent-t", pod_id=1)
        self.connection = NativeConnection(self.transport, self._accept, hello)

    def _accept(self, kind, opening, stream):
        self.accepted.append((kind, opening))
        return RecordingHandler(stream)

    async def talk(self) -> None:
        await self.kas.talk(self.connection, self.transport)


async def admitted() -> Dialogue:
    dialogue = Dialogue()
    await dialogue.talk()
    dialogue.kas.tunnel.accept(KasHello(agent_id=7))
    await dialogue.talk()
    return dialogue


@pytest.mark.asyncio
async def test_kas_hears_the_token_and_its_greeting_admits():
    dialogue = await admitted()
    assert dialogue.kas.heard == [("hello", "glagent-t")]
    await dialogue.connection.state.admission()
    assert (dialogue.connection.agent_id, dialogue.connection.is_ready) == (7, True)
    assert not dialogue.connection.state.leaving.is_set()


@pytest.mark.asyncio
async def test_a_stream_that_follows_the_greeting_in_one_packet_knows_the_agent():
    dialogue = Dialogue()
    await dialogue.talk()
    dialogue.kas.tunnel.accept(KasHello(agent_id=7))
    dialogue.kas.tunnel.open_stream(StreamKind.KUBERNETES_API, b"GET", RecordingHandler())
    await dialogue.talk()
    assert dialogue.accepted == [(StreamKind.KUBERNETES_API, b"GET")]
    assert dialogue.connection.agent_id == 7


@pytest.mark.asyncio
@pytest.mark.parametrize(("message", "said"), [("unauthenticated", "unauthenticated"), ("", "forbidden")])
async def test_a_refusal_says_why(message: str, said: str):
    dialogue = Dialogue()
    await dialogue.talk()
    dialogue.kas.tunnel.go_away(GoAwayCode.FORBIDDEN, message)
    await dialogue.talk()
    with pytest.raises(PeerError, match=f"kas refused the connection: {said}") as refusal:
        await dialogue.connection.state.admission()
    assert refusal.value.retryable
    assert dialogue.connection.state.leaving.is_set()


@pytest.mark.asyncio
async def test_a_kas_that_drains_is_left_without_a_failure():
    dialogue = await admitted()
    dialogue.kas.tunnel.open_stream(StreamKind.KUBERNETES_API, b"GET", RecordingHandler())
    dialogue.kas.tunnel.go_away(GoAwayCode.DRAINING)
    await dialogue.talk()
    assert dialogue.connection.state.leaving.is_set()
    assert not dialogue.connection.state.closed.is_set()
    assert dialogue.connection.failure == ""


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("error", "reason"), [(None, "kas closed the connection"), (ConnectionResetError("reset"), "reset")]
)
async def test_a_connection_lost_before_the_greeting_says_how(error: Exception | None, reason: str):
    dialogue = Dialogue()
    dialogue.connection.connection_lost(error)
    with pytest.raises(PeerError, match=reason):
        await dialogue.connection.state.admission()
    assert dialogue.connection.state.leaving.is_set()
    assert dialogue.connection.state.closed.is_set()


@pytest.mark.asyncio
async def test_a_connection_lost_after_the_greeting_is_still_admitted():
    dialogue = await admitted()
    dialogue.connection.connection_lost(None)
    await dialogue.connection.state.admission()
    assert dialogue.connection.state.closed.is_set()
