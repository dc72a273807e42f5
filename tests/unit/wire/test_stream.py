"""The numbers of the contract: they cross the connection, so they never change; other files lean on them."""

from __future__ import annotations

from kasbah.wire.native_tunnel.engine import NativeTunnel
from kasbah.wire.native_tunnel.scheduler import QUANTUM
from kasbah.wire.rpc import RESET_CODE_BASE
from kasbah.wire.stream import ResetCode, Stream, StreamClass, StreamHandler, StreamKind
from tests.doubles.tunnel_pair import RecordingHandler, TunnelPair


def test_kinds_and_classes_keep_their_numbers():
    assert [(kind.name, kind.value) for kind in StreamKind] == [("KUBERNETES_API", 1), ("RPC", 2)]
    assert [each.name for each in sorted(StreamClass)] == ["KEYSTROKE", "WATCH", "SMALL", "BULK"]


def test_every_class_has_its_share_and_better_ones_no_less():
    assert len(QUANTUM) == len(StreamClass)
    assert list(QUANTUM) == sorted(QUANTUM, reverse=True)


def test_reset_codes_leave_room_for_statuses_and_keep_their_numbers():
    assert [code.value for code in ResetCode] == list(range(1, 10))
    assert max(ResetCode) < RESET_CODE_BASE


def test_a_tunnel_s_streams_and_their_handlers_are_what_the_rooms_above_see():
    pair = TunnelPair()
    tunnel: NativeTunnel = pair.kas.tunnel
    handler: StreamHandler = RecordingHandler()
    stream: Stream = tunnel.open_stream(StreamKind.KUBERNETES_API, b"GET", handler)
    promised = {name for name in vars(Stream) if not name.startswith("_")}
    assert promised == {"stream_id", "send_head", "send", "end", "reset", "consumed"}
    assert all(hasattr(stream, name) for name in promised)
