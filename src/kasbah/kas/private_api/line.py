"""Another kas' request to an agent that is here and can carry no more just now: it stands in line for a moment.

An agent that speaks gRPC opens tunnels as they are used up, a few at a time. To refuse what comes in between would send
the other kas away for longer than it takes. Nothing was done for the request until it is taken, so refusing it later
costs no more than at once. Knows one stream; whether it is allowed was decided before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from kasbah.errors import PeerError
from kasbah.kas.reverse_tunnel.registry import Waiter
from kasbah.wire.stream import ResetCode, Stream, StreamHandler


class Line(Protocol):
    """Where requests wait for an agent; `TunnelRegistry` keeps it."""

    def wait(self, agent_id: int, waiter: Waiter) -> None: ...

    def stop_waiting(self, agent_id: int, waiter: Waiter) -> None: ...


class InLine:
    """Handler of the other kas' stream, which takes the request as soon as `join` gives it a handler.

    Args:
        join: gives what handles the stream from then on, or None when somebody else was faster; a `PeerError` of it
            refuses the request for good.
        wait_s: after so many seconds the request is refused.
    """

    __slots__ = ("_agent_id", "_caller", "_ended", "_join", "_joined", "_line", "_timer")

    def __init__(
        self,
        line: Line,
        agent_id: int,
        caller: Stream,
        join: Callable[[], StreamHandler | None],
        wait_s: float,
    ) -> None:
        self._line = line
        self._agent_id = agent_id
        self._caller = caller
        self._join = join
        self._joined: StreamHandler | None = None
        self._ended = False
        self._timer = asyncio.get_running_loop().call_later(
            wait_s, self._leave, ResetCode.REFUSED, "every tunnel of this agent is in use"
        )
        line.wait(agent_id, self)

    def tunnel_ready(self) -> None:
        try:
            joined = self._join()
        except PeerError as error:
            self._leave(ResetCode.PROTOCOL, str(error))
            return
        if joined is None:
            self._line.wait(self._agent_id, self)
            return
        self._timer.cancel()
        self._joined = joined
        self._caller.send_head(b"")
        if self._ended:
            joined.ended()

    def _leave(self, code: ResetCode, message: str) -> None:
        self._give_up()
        self._caller.reset(code, message)

    def _give_up(self) -> None:
        self._timer.cancel()
        self._line.stop_waiting(self._agent_id, self)

    # -- the other kas' stream -----------------------------------------------------------------------------------

    def head_received(self, head: bytes) -> None:
        """A request's head is in its opening."""

    def data_received(self, data: bytes) -> None:
        if self._joined is not None:
            self._joined.data_received(data)
        else:
            self._leave(ResetCode.PROTOCOL, "a body before the request was taken")

    def ended(self) -> None:
        self._ended = True
        if self._joined is not None:
            self._joined.ended()

    def reset(self, code: int, message: str) -> None:
        if self._joined is not None:
            self._joined.reset(code, message)
        else:
            self._give_up()

    def writable(self) -> None:
        if self._joined is not None:
            self._joined.writable()
