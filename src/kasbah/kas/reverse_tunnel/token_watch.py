"""Asks again and again about the tokens of the agents that are connected; knows no connection.

Each token is asked about once at a time, many beside each other, and the next round does not wait for the last: a
question without an answer delays nothing but what is known of its own token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

import structlog

from kasbah.errors import PeerError
from kasbah.kas.hub_client.client import HubClient
from kasbah.kas.reverse_tunnel.refusal import Refusal, refusal_of
from kasbah.kit.secrets import Secret

_log = structlog.get_logger()

AT_ONCE: Final = 32
"""Questions to the Git side: enough for thousands of agents within the interval, few enough not to be a burst."""


class TokenWatch:
    """Args:
    hub: whom to ask.
    interval_s: from one round to the next, in seconds.
    tokens: those in use now.
    revoked: called for a token that is no longer good; that the Git side is away is no such answer.
    """

    def __init__(
        self,
        hub: HubClient,
        interval_s: float,
        *,
        tokens: Callable[[], AbstractSet[Secret]],
        revoked: Callable[[Secret, Refusal], None],
    ) -> None:
        self._hub = hub
        self._interval_s = interval_s
        self._tokens = tokens
        self._revoked = revoked
        self._asking: set[Secret] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as questions:
            while True:
                await asyncio.sleep(self._interval_s)
                for token in self._tokens() - self._asking:
                    self._asking.add(token)
                    questions.create_task(self._ask(token), name="agent token check")

    async def _ask(self, token: Secret) -> None:
        try:
            async with self._slots:
                await self._hub.agent_info(token, fresh=True)
        except PeerError as error:
            refusal = refusal_of(error)
            if refusal.is_final:
                self._revoked(token, refusal)
            else:
                _log.warning("agent token could not be checked", error=str(error))
        except Exception:  # noqa: BLE001 - a bug of ours must not cost the other agents; asked again in a few seconds
            _log.exception("agent token check crashed")
        finally:
            self._asking.discard(token)
