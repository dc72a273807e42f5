"""What a decision costs that has been taken already: the look-up every request makes."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bench.results import Goal, Report, Spread
from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.kubernetes_api.access import Access
from kasbah.kas.kubernetes_api.authorizer import Authorizer
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.wire import http1
from kasbah.wire.credential import Credential, read_credential
from kasbah.wire.identity import AsUser

CACHED_US: Final = 20.0
_HEAD: Final = b"GET / HTTP/1.1\r\nHost: kas\r\nAuthorization: Bearer pat:7:glpat-%d\r\n\r\n"
_CREDENTIALS: Final = 1000


def measure(*, quick: bool) -> list[Report]:
    """With so many people remembered, the credential read from a head that was never seen before."""
    rounds = 3 if quick else 9
    asked, taken = asyncio.run(_look_at(rounds))
    how = f"{rounds} rounds over {_CREDENTIALS:,} people whose decisions are remembered; in one process, without sockets."
    report = Report(title="Authorisation", how=how)
    report.goals = [
        Goal(what="a decision that is remembered", value=Spread.of(taken), bound=CACHED_US, unit="µs"),
        Goal(what="calls for a decision that is not", value=Spread.of([asked]), bound=1),
    ]
    return [report]


async def _look_at(rounds: int) -> tuple[float, list[float]]:
    directory = _Directory()
    authorizer = Authorizer(directory, KubernetesApiSettings(), CoarseClock(0.0, 0.0))
    heads = [http1.parse_request_head(_HEAD % number) for number in range(_CREDENTIALS)]
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Event()
        running = group.create_task(authorizer.run(ready.set))
        await ready.wait()
        for head in heads:
            await authorizer.authorize(read_credential(head))
        taken = []
        for _ in range(rounds):
            began = time.perf_counter()
            for head in heads:
                authorizer.find(read_credential(head))
            taken.append((time.perf_counter() - began) / len(heads) * 1e6)
        running.cancel()
    return directory.asked / _CREDENTIALS, taken


class _Directory:
    """Allows everybody everything."""

    def __init__(self) -> None:
        self.asked = 0

    async def look_up(self, credential: Credential) -> Access:
        self.asked += 1
        return Access(
            agent_id=credential.agent_id,
            config_project_id=1,
            access_type="personal_access_token",
            user_id=1,
            username="somebody",
            identity=AsUser(username="gitlab:user:somebody"),
        )
