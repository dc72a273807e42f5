"""What a handler knows about the call it answers, whatever carried it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from kasbah.kas.hub_client.records import AgentInfo
from kasbah.kit.secrets import Secret
from kasbah.wire.rpc import ServerStreamMethod, UnaryMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCall:
    """One call of an authenticated agent."""

    agent: AgentInfo
    agent_token: Secret
    connection_id: int
    """The pod's id, chosen by agentk when its process started."""


Handler = Callable[[AgentCall, Any], Awaitable[Message] | AsyncIterator[Message]]
"""`async def` for a unary method, an async generator for a stream; raises `RpcError` for a status."""

Service = tuple[UnaryMethod[Any, Any] | ServerStreamMethod[Any, Any], Handler]
