"""Whom the hub of `kasbah up` tells of pushes: the kas of this process, and one elsewhere when there is one."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Protocol

from kasbah.hub.kas_client import GitPushEvent, KasClient
from kasbah.hub.remote_kas import USER_AGENT, KasTokens, RemoteKas
from kasbah.kas.notifications.pushes import PushEvent
from kasbah.kit import shared_secret
from kasbah.rpc.grpc_dial import GrpcDial
from kasbah.up.flags import UpSettings


class PushTaker(Protocol):
    """The kas of this process; `GitPushes` is one."""

    async def git_push(self, event: PushEvent) -> None: ...


class Telling:
    """The hub's `KasClient`. kas needs the hub first, so its own kas joins when it is composed."""

    def __init__(self, elsewhere: KasClient | None = None) -> None:
        self._elsewhere = elsewhere
        self.here: PushTaker | None = None

    async def git_push(self, event: GitPushEvent) -> None:
        """Tell both; neither is waited for."""
        if self._elsewhere is not None:
            await self._elsewhere.git_push(event)
        if self.here is not None:
            await self.here.git_push(event)


def remote_kas(settings: UpSettings, own_secret: Path) -> RemoteKas | None:
    """The kas elsewhere, if the flags name one.

    Raises:
        UserError: its secret cannot be read.
    """
    if settings.kas_api is None:
        return None
    secret = shared_secret.decode(shared_secret.read(settings.kas_api_secret_file or own_secret))
    context = ssl.create_default_context() if settings.kas_api.tls else None
    metadata = KasTokens(secret).metadata
    return RemoteKas(GrpcDial(settings.kas_api, context, user_agent=USER_AGENT, metadata=metadata))
