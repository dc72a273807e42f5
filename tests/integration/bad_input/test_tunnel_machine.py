"""The native tunnel against a model of it: whatever happens in whatever order, each stream says what was said on it.

Hypothesis opens, sends, takes, ends and resets streams from both ends, and carries the bytes between them in pieces of
its own choice. What arrives must be a beginning of what was sent, never more than the window may be under way, and once
all is carried nothing is missing and nothing is left over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from kasbah.wire.native_tunnel.frames import GROWN_WINDOW
from kasbah.wire.stream import ResetCode
from tests.doubles.tunnel_pair import Owner, RecordingHandler, TunnelPair

SIZES = st.sampled_from([0, 1, 7, 100, 4096, 65_535, 65_536, 200_000])
PIECES = st.sampled_from([1, 3, 64, 1000, 20_000, 1 << 20])


@dataclass(eq=False)
class Half:
    """What one side says on a stream, and what the other has heard of it."""

    speaker: object
    hearer: RecordingHandler | None = None
    """Of the other side; known once the opening has arrived."""
    sent: bytearray = field(default_factory=bytearray)
    ended: bool = False
    taken: int = 0


@dataclass(eq=False)
class Modelled:
    opening: bytes
    opener: Half
    """What the side that opened it says."""
    answerer: Half
    reset: bool = False


class TunnelMachine(RuleBasedStateMachine):
    streams = Bundle("streams")

    @initialize(answers=st.booleans())
    def greet(self, answers: bool) -> None:
        self.pair = TunnelPair(slow=True, answers=answers)
        self.under_way = {True: bytearray(), False: bytearray()}
        self.modelled: list[Modelled] = []
        self.number = 0

    # -- what may happen

    @rule(target=streams, by_kas=st.booleans(), size=st.sampled_from([0, 10, 5000]))
    def open(self, by_kas: bool, size: int) -> Modelled:
        self.number += 1
        opening = b"%d:" % self.number + b"o" * size
        owner = self.pair.kas if by_kas else self.pair.agent
        stream, handler = owner.open(opening)
        made = Modelled(opening=opening, opener=Half(stream), answerer=Half(None, handler))
        self.modelled.append(made)
        return made

    @rule(stream=streams, opener=st.booleans(), size=SIZES)
    def send(self, stream: Modelled, opener: bool, size: int) -> None:
        half = stream.opener if opener else stream.answerer
        if half.speaker is None or half.ended or stream.reset or len(half.sent) > 600_000:
            return
        data = bytes([len(half.sent) % 251]) * size
        half.sent += data
        half.speaker.send(data)  # type: ignore[attr-defined]

    @rule(stream=streams, opener=st.booleans())
    def end(self, stream: Modelled, opener: bool) -> None:
        half = stream.opener if opener else stream.answerer
        if half.speaker is None or half.ended or stream.reset:
            return
        half.ended = True
        half.speaker.end()  # type: ignore[attr-defined]

    @rule(stream=consumes(streams), opener=st.booleans())
    def reset(self, stream: Modelled, opener: bool) -> None:
        half = stream.opener if opener else stream.answerer
        if half.speaker is None:
            return
        stream.reset = True
        half.speaker.reset(ResetCode.CANCELLED, "enough")  # type: ignore[attr-defined]

    @rule(stream=streams, opener=st.booleans(), share=st.sampled_from([1, 2, 10]))
    def take(self, stream: Modelled, opener: bool, share: int) -> None:
        """The hearer has passed on some of what it heard."""
        half = stream.opener if opener else stream.answerer
        if half.hearer is not None:
            self._take(half, (half.hearer.received - half.taken) // share)

    @rule(to_agent=st.booleans(), piece=PIECES)
    def carry(self, to_agent: bool, piece: int) -> None:
        self._collect(to_agent)
        buffer = self.under_way[to_agent]
        data = bytes(buffer[:piece])
        del buffer[:piece]
        if data:
            (self.pair.agent if to_agent else self.pair.kas).tunnel.receive(data)
            self._meet()

    @precondition(lambda self: len(self.modelled) > 3)
    @rule()
    def carry_all(self) -> None:
        while self._carry_once():
            pass

    # -- what must always hold

    @invariant()
    def what_arrives_is_what_was_sent(self) -> None:
        for stream in getattr(self, "modelled", ()):
            for half in (stream.opener, stream.answerer):
                if half.hearer is None:
                    continue
                heard = b"".join(data for word, data in half.hearer.said if word == "data")  # type: ignore[misc]
                assert half.sent.startswith(heard)
                assert len(heard) - half.taken <= GROWN_WINDOW
                words = half.hearer.words()
                if "ended" in words and not stream.reset:
                    assert half.ended
                    assert heard == half.sent

    def teardown(self) -> None:
        if not hasattr(self, "modelled"):
            return
        for stream in self.modelled:  # everybody comes to an end
            for half in (stream.opener, stream.answerer):
                if half.speaker is not None and not half.ended and not stream.reset:
                    half.ended = True
                    half.speaker.end()  # type: ignore[attr-defined]
        while self._carry_once() or self._take_everything() or self._end_late():
            pass
        self.what_arrives_is_what_was_sent()
        for stream in self.modelled:
            if not stream.reset:
                assert all(
                    half.hearer is not None and "ended" in half.hearer.words()
                    for half in (stream.opener, stream.answerer)
                )
        assert self.pair.kas.tunnel.stream_count == self.pair.agent.tunnel.stream_count == 0

    # -- how

    def _collect(self, to_agent: bool) -> None:
        source = self.pair.kas if to_agent else self.pair.agent
        self.under_way[to_agent] += b"".join(source.tunnel.take(1 << 20))

    def _carry_once(self) -> bool:
        carried = False
        for to_agent in (True, False):
            self._collect(to_agent)
            if data := bytes(self.under_way[to_agent]):
                self.under_way[to_agent].clear()
                (self.pair.agent if to_agent else self.pair.kas).tunnel.receive(data)
                self._meet()
                carried = True
        return carried

    def _take_everything(self) -> bool:
        halves = [
            half
            for stream in self.modelled
            for half in (stream.opener, stream.answerer)
            if half.hearer is not None
        ]
        owed = [(half, half.hearer.received - half.taken) for half in halves if half.hearer is not None]
        for half, count in owed:
            self._take(half, count)
        return any(count for _, count in owed)

    def _end_late(self) -> bool:
        """Streams whose opening has only just arrived."""
        late = [
            s.answerer
            for s in self.modelled
            if s.answerer.speaker is not None and not s.answerer.ended and not s.reset
        ]
        for half in late:
            half.ended = True
            half.speaker.end()  # type: ignore[attr-defined]
        return bool(late)

    @staticmethod
    def _take(half: Half, count: int) -> None:
        if half.hearer is not None and half.hearer.stream is not None and count:
            half.taken += count
            half.hearer.stream.consumed(count)

    def _meet(self) -> None:
        """Find the far end of streams whose opening has arrived."""
        by_opening = {stream.opening: stream for stream in self.modelled}
        for owner in (self.pair.agent, self.pair.kas):
            self._introduce(owner, by_opening)

    @staticmethod
    def _introduce(owner: Owner, by_opening: dict[bytes, Modelled]) -> None:
        for _, opening, stream, handler in owner.opened:
            made = by_opening[opening]
            made.answerer.speaker, made.opener.hearer = stream, handler


TunnelMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestTunnelAgainstItsModel = TunnelMachine.TestCase


def test_a_thousand_streams_are_cancelled_at_each_moment_and_nothing_stays(tally) -> None:
    for moment in ("opened", "carried", "answered", "answering", "half ended", "full"):
        pair = TunnelPair(slow=True)
        streams = [pair.kas.open(b"%d" % number)[0] for number in range(1000)]
        if moment != "opened":
            pair.pump()
            for _, _, answer, _ in pair.agent.opened:
                answer.send_head(b"200") if moment in {"answered", "answering", "full"} else None
                if moment in {"answering", "full"}:
                    answer.send(b"x" * (1000 if moment == "answering" else 300_000))
                if moment == "half ended":
                    answer.end()
            if moment != "carried":
                pair.pump()
        for number, stream in enumerate(streams):
            stream.reset(ResetCode.CANCELLED)
            if number % 100 == 0:
                pair.pump(piece=7 if moment == "opened" else 1 << 20)
        pair.pump()
        assert pair.kas.tunnel.stream_count == pair.agent.tunnel.stream_count == 0, moment
        after, handler = pair.kas.open(b"after")
        after.end()
        pair.pump()
        served = pair.agent.opened[-1][2]
        served.send(b"y")
        served.end()
        pair.pump()
        assert handler.words() == ["data", "ended"], moment
        tally(f"cancelled when {moment}")
