"""A tunnel of GitLab's kind that a hostile agent opens frame by frame, and answers as the test likes."""

from __future__ import annotations

from typing import Any

from kasbah.wire.methods import CONNECT
from kasbah.wire.pb.gitlab.agent.grpctool.grpctool_pb2 import HttpRequest, HttpResponse
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import HttpResponse as ResponseHead
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.pb.gitlab.agent.reverse_tunnel.rpc.rpc_pb2 import (
    ConnectRequest,
    ConnectResponse,
    Header,
    Message,
    Trailer,
)
from kasbah.wire.reverse_tunnel.descriptor import KUBERNETES_API_DESCRIPTOR
from tests.doubles.hostile_grpc import HostileGrpc, block, data, headers

HEADER = ConnectRequest(header=Header()).SerializeToString()
TRAILER = ConnectRequest(trailer=Trailer()).SerializeToString()


def wrapped(**arm: Any) -> bytes:
    """A message of the answer, inside the tunnel's."""
    return ConnectRequest(message=Message(data=HttpResponse(**arm).SerializeToString())).SerializeToString()


def head(status: int = 200, reason: str = "OK", **fields: str) -> bytes:
    """An answer's head; underscores in names stand for hyphens."""
    values = {name.replace("_", "-").title(): Values(value=[value]) for name, value in fields.items()}
    return head_with(values, status, reason)


def head_with(values: dict[str, Values], status: int = 200, reason: str = "OK") -> bytes:
    """The same with whatever names and values protobuf takes."""
    response = ResponseHead(status_code=status, status=reason, header=values)
    return wrapped(header=HttpResponse.Header(response=response))


def body(said: bytes) -> bytes:
    return wrapped(data=HttpResponse.Data(data=said))


def upgraded(said: bytes) -> bytes:
    return wrapped(upgradeData=HttpResponse.UpgradeData(data=said))


END = wrapped(trailer=HttpResponse.Trailer())


class HostileTunnel:
    """One; idle as soon as kas has read its first words."""

    def __init__(self, peer: HostileGrpc, stream_id: int, token: str) -> None:
        self._peer = peer
        self.stream_id = stream_id
        peer.say(headers(stream_id, block(CONNECT.path, token)) + data(stream_id, KUBERNETES_API_DESCRIPTOR))

    @property
    def heard(self) -> list[ConnectResponse]:
        return [ConnectResponse.FromString(said) for said in self._peer.messages(self.stream_id)]

    @property
    def asked(self) -> HttpRequest.Header | None:
        """The request, once it is here."""
        for said in self.heard:
            if said.WhichOneof("msg") == "message":
                return HttpRequest.FromString(said.message.data).header
        return None

    def say(self, *words: bytes, end: bool = False) -> None:
        """Messages of the call `Connect`, as they are."""
        self._peer.say(data(self.stream_id, *words, end=end))

    def answer(self, *words: bytes) -> None:
        """A whole answer of these words."""
        self.say(HEADER, *words, END, TRAILER, end=True)
