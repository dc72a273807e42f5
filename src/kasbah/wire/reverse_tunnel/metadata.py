"""What of a call's metadata passes through a tunnel: little, because each hop has credentials of its own there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import Metadata

_FORWARDED: Final = frozenset({"traceparent", "tracestate"})
_RESERVED: Final = frozenset({"authorization", "content-type", "te", "user-agent"})
_RESERVED_FAMILIES: Final = (":", "grpc-", "kas-hop-")
_MAX_FORWARDED_BYTES = 512
_MAX_REPLAYED = 64


def forwarded(metadata: Metadata) -> dict[str, Values]:
    """What kas tells an agent of a call: where it stands in a trace, and nothing else."""
    kept: dict[str, Values] = {}
    for key, value in metadata:
        if key in _FORWARDED and len(value) <= _MAX_FORWARDED_BYTES and value.isascii():
            kept.setdefault(key, Values()).value.append(value)
    return kept


def replayed(meta: Mapping[str, Values]) -> Metadata:
    """What of a tunnel's metadata belongs to the carried call: nothing of the hops before, nothing binary."""
    pairs = ((key.lower(), value) for key, values in meta.items() for value in values.value)
    kept = [
        (key, value)
        for key, value in pairs
        if key not in _RESERVED and not key.startswith(_RESERVED_FAMILIES) and not key.endswith("-bin")
    ]
    return tuple(kept[:_MAX_REPLAYED])
