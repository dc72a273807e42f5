"""h2 as it is set up here."""

from __future__ import annotations

from h2.connection import H2Connection
from h2.events import RemoteSettingsChanged, RequestReceived, StreamEnded
from h2.settings import SettingCodes

from kasbah.wire.grpc import frames
from kasbah.wire.grpc.http2 import Http2
from kasbah.wire.grpc.limits import GrpcLimits

HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "kas"),
    ("content-length", "5"),
]


def test_the_peer_hears_our_limits():
    peer = H2Connection()
    peer.initiate_connection()
    (settings,) = (
        event
        for event in peer.receive_data(Http2(client=False, limits=GrpcLimits()).begin())
        if isinstance(event, RemoteSettingsChanged)
    )
    assert {code: changed.new_value for code, changed in settings.changed_settings.items()}.items() >= {
        SettingCodes.MAX_CONCURRENT_STREAMS: 1000,
        SettingCodes.INITIAL_WINDOW_SIZE: 256 * 1024,
        SettingCodes.MAX_HEADER_LIST_SIZE: 32 * 1024,
    }.items()


def test_no_window_of_h2_is_announced_but_the_settings():
    assert len(Http2(client=False, limits=GrpcLimits()).begin()) < 100


def test_more_streams_than_h2_would_take_are_taken_and_forgotten():
    peer, server = H2Connection(), Http2(client=False, limits=GrpcLimits(max_calls=1))
    peer.initiate_connection()
    server.begin()
    server.receive_data(peer.data_to_send()[len(frames.PREFACE) :])
    for stream_id in range(1, 3001, 2):
        peer.send_headers(stream_id, HEADERS[:4], end_stream=True)
        events = server.receive_data(peer.data_to_send())
        assert any(isinstance(event, RequestReceived) for event in events)
        server.reset_stream(stream_id)
        peer.receive_data(server.take_output())
    assert len(server.streams) == 1500
    server.forget_closed_streams()
    assert not server.streams
    assert server.take_output() == b""


def test_the_end_of_a_body_h2_has_not_seen_is_no_error():
    peer, server = H2Connection(), Http2(client=False, limits=GrpcLimits())
    peer.initiate_connection()
    server.begin()
    peer.send_headers(1, HEADERS)
    server.receive_data(peer.data_to_send()[len(frames.PREFACE) :])
    server.ignore_content_length(1)
    events = server.receive_data(frames.frame_header(frames.DATA, frames.END_STREAM, 1, 0))
    assert any(isinstance(event, StreamEnded) for event in events)
