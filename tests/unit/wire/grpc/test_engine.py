"""Both ends of a gRPC connection, and one end against a peer that does not play by the rules."""

from __future__ import annotations

import dataclasses
import gc
import gzip
import tracemalloc
import weakref

import pytest
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire.grpc import frames
from kasbah.wire.grpc.engine import GrpcLimits, GrpcProtocolError, GrpcRole
from kasbah.wire.grpc.frames import FrameReader, frame_header, window_update
from kasbah.wire.rpc import RpcError, StatusCode
from tests.doubles.grpc_pair import GrpcEnd, GrpcPair, RecordingCallHandler

REQUEST = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/test/Method"),
    (b":authority", b"wss:%2F%2Fkas.example.test%2F"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]
RESPONSE = [(b":status", b"200"), (b"content-type", b"application/grpc")]
OK = [(b"grpc-status", b"0")]


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return frame_header(kind, flags, stream_id, len(payload)) + payload


def prefixed(body: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(body).to_bytes(4, "big") + body


class Peer:
    """The other end, by hand: frames out, frames in."""

    def __init__(self, role: GrpcRole = GrpcRole.SERVER, *, slow: bool = False, **limits: int) -> None:
        self.end = GrpcEnd(role, limits=GrpcLimits(**limits), slow=slow)
        self.encoder = Encoder()
        self.engine = self.end.engine
        first = frame(frames.SETTINGS, 0, 0) + frame(frames.SETTINGS, frames.ACK, 0)
        self.send((frames.PREFACE if role is GrpcRole.SERVER else b"") + first)
        self.engine.take(1 << 20)

    def send(self, *data: bytes) -> None:
        for piece in data:
            self.engine.receive(piece)

    def headers(self, stream_id: int, headers: list[tuple[bytes, bytes]], flags: int = 0) -> bytes:
        return frame(frames.HEADERS, flags | frames.END_HEADERS, stream_id, self.encoder.encode(headers))

    def data(self, stream_id: int, payload: bytes, flags: int = 0) -> bytes:
        return frame(frames.DATA, flags, stream_id, payload)

    def open(self, stream_id: int = 1, *more: tuple[bytes, bytes], flags: int = 0) -> RecordingCallHandler:
        """A request of ours; the handler on the other side."""
        self.send(self.headers(stream_id, [*REQUEST, *more], flags))
        return self.end.opened[-1][3]

    def heard(self) -> list[tuple[int, int, int, bytes]]:
        """The frames of the other side since the last time."""
        reader = FrameReader(preface=False)
        return [(*head, bytes(payload)) for *head, payload in reader.receive(self.engine.take(1 << 20))]

    def kinds(self) -> list[int]:
        return [kind for kind, *_ in self.heard()]

    def dies(self, *data: bytes, code: int | None = None) -> str:
        """These frames end the connection, with GOAWAY as its last word; the reason."""
        with pytest.raises(GrpcProtocolError) as error:
            self.send(*data)
        kind, _, _, payload = self.heard()[-1]
        assert kind == frames.GOAWAY
        said = frames.read_goaway(payload)[1]
        assert said == error.value.code
        if code is not None:
            assert said == code
        assert not self.engine.has_output
        self.send(b"whatever comes then")
        return str(error.value)


# -- a call ----------------------------------------------------------------------------------------------------------


def test_a_call_from_its_first_word_to_its_last():
    pair = GrpcPair()
    call, caller, answering, answerer = pair.open("/pkg.Service/Method", (("authorization", "Bearer x"),))
    assert pair.server.opened[0][:2] == (
        "/pkg.Service/Method",
        (("user-agent", "t/1"), ("authorization", "Bearer x")),
    )
    call.send(b"question")
    call.end()
    pair.pump()
    answering.send(b"answer")
    answering.end()
    pair.pump()
    assert answerer.said == [("message", b"question"), ("ended", None)]
    assert caller.said == [("message", b"answer"), ("ended", None)]
    assert pair.client.engine.call_count == pair.server.engine.call_count == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=5000), st.integers(0, 4)), max_size=20),
    st.integers(1, 400),
    st.booleans(),
)
def test_whatever_is_said_arrives_in_order_however_it_is_cut(said, piece, compress):
    pair = GrpcPair(compress=compress)
    calls = [pair.open() for _ in range(5)]
    expected: list[tuple[list[bytes], list[bytes]]] = [([], []) for _ in calls]
    for from_client, message, which in said:
        call, _, answering, _ = calls[which]
        (call if from_client else answering).send(message)
        expected[which][0 if from_client else 1].append(message)
        pair.pump(piece=piece)
    for call, _, answering, _ in calls:
        call.end()
        answering.end()
    pair.pump(piece=piece)
    for (_, caller, _, answerer), (questions, answers) in zip(calls, expected, strict=True):
        assert answerer.messages() == questions
        assert caller.messages() == answers
        assert caller.words()[-1] == "ended"


@pytest.mark.parametrize("compress", [False, True])
def test_a_message_larger_than_all_windows_arrives(compress):
    pair = GrpcPair(compress=compress)
    call, caller, answering, answerer = pair.open()
    message = bytes(range(256)) * 16_000
    call.send(message)
    answering.send(message)
    pair.pump()
    assert answerer.messages() == caller.messages() == [message]


def test_an_error_carries_its_message():
    pair = GrpcPair()
    _, caller, answering, answerer = pair.open()
    answering.send(b"dropped")
    answering.fail(StatusCode.NOT_FOUND, "größe ☃ 100%")
    pair.pump()
    assert caller.said == [("failed", (StatusCode.NOT_FOUND, "größe ☃ 100%"))]
    assert answerer.said == []


def test_an_error_after_messages_keeps_what_was_sent():
    pair = GrpcPair()
    _, caller, answering, _ = pair.open()
    answering.send(b"first")
    pair.pump()
    answering.fail(StatusCode.UNAVAILABLE, "then not")
    pair.pump()
    assert caller.words() == ["message", "failed"]


def test_a_caller_that_gives_up_is_heard_once():
    pair = GrpcPair()
    call, caller, _, answerer = pair.open()
    call.fail(StatusCode.CANCELLED)
    pair.pump()
    assert (caller.said, answerer.words(), answerer.code) == ([], ["failed"], StatusCode.CANCELLED)


def test_an_answerer_that_ends_first_stops_the_caller():
    pair = GrpcPair()
    call, caller, answering, answerer = pair.open()
    answering.send(b"enough")
    answering.end()
    pair.pump()
    assert caller.words() == ["message", "ended"]
    call.send(b"late")
    pair.pump()
    assert answerer.said == []


def test_a_call_may_be_refused_as_it_opens():
    pair = GrpcPair()
    pair.server.on_call = lambda path, call: call.fail(StatusCode.UNIMPLEMENTED, path)
    _, caller = pair.client.open("/no/such")
    pair.pump()
    assert caller.said == [("failed", (StatusCode.UNIMPLEMENTED, "/no/such"))]


def test_a_handler_that_is_slow_is_waited_for_and_told():
    pair = GrpcPair(slow=True)
    call, caller, _, answerer = pair.open()
    sent = 1
    while call.send(bytes(32_768)):
        sent += 1
    pair.pump()
    while call.send(bytes(32_768)):
        sent += 1
    pair.pump()
    assert len(answerer.messages()) < sent + 1
    for _ in range(sent + 1):
        answerer.call.consumed(32_768)
        pair.pump()
    assert len(answerer.messages()) == sent + 1
    assert "writable" in caller.words()


# -- what the server makes of a client -------------------------------------------------------------------------------


def test_the_authority_may_be_anything():
    assert Peer().open().said == []


def test_go_peers_ping_and_open_windows_with_every_batch():
    peer = Peer()
    handler = peer.open()
    for i in range(5000):
        peer.send(
            window_update(0, 100) + window_update(1, 100) + frame(frames.PING, 0, 0, i.to_bytes(8, "big")),
            peer.data(1, prefixed(b"x")),
        )
        assert (frames.PING, frames.ACK, 0, i.to_bytes(8, "big")) in peer.heard()
    assert len(handler.messages()) == 5000


def test_the_server_answers_as_it_was_asked():
    peer = Peer()
    peer.open(1, (b"grpc-encoding", b"gzip"))
    peer.send(peer.data(1, prefixed(gzip.compress(b"hello"), 1)))
    _, _, call, handler = peer.end.opened[-1]
    assert handler.messages() == [b"hello"]
    peer.heard()
    call.send(bytes(5000))
    call.send(b"small")
    (_, _, _, block), (_, _, _, data) = peer.heard()
    assert (b"grpc-encoding", b"gzip") in Decoder().decode(block[frames.HEADER_SIZE :], raw=True)
    assert data[0] == 1
    assert data.endswith(prefixed(b"small"))


def test_an_unknown_encoding_is_unimplemented_and_says_what_is_known():
    peer = Peer()
    peer.send(peer.headers(1, [*REQUEST, (b"grpc-encoding", b"zstd")]))
    assert peer.kinds() == [frames.HEADERS, frames.RST_STREAM]
    assert peer.end.opened == []
    assert peer.engine.call_count == 0


def test_who_does_not_speak_grpc_hears_it_in_http():
    peer = Peer()
    peer.send(peer.headers(1, [*REQUEST[:4], (b"content-type", b"text/html")], frames.END_STREAM))
    assert peer.kinds() == [frames.HEADERS]
    assert peer.end.opened == []


def test_a_malformed_request_costs_its_stream_alone():
    peer = Peer()
    peer.send(peer.headers(1, [*REQUEST, (b"Upper", b"x")]))
    assert peer.heard() == [(frames.RST_STREAM, 0, 1, b"\0\0\0\1")]
    peer.open(3)


def test_metadata_over_the_limit_costs_its_call_alone():
    peer = Peer()
    peer.send(peer.headers(1, [*REQUEST, (b"k", b"x" * 12_000), (b"l", b"x" * 12_000)][:7]))
    many = [(b"k%d" % i, b"x" * 90) for i in range(150)]
    block = peer.encoder.encode([*REQUEST, *many])
    peer.send(
        frame(frames.HEADERS, 0, 3, block[:10_000]),
        frame(frames.CONTINUATION, frames.END_HEADERS, 3, block[10_000:]),
    )
    assert len(peer.end.opened) == 1
    assert [kind for kind, _, stream_id, _ in peer.heard() if stream_id == 3] == [
        frames.HEADERS,
        frames.RST_STREAM,
    ]
    peer.open(5)


def test_a_content_length_is_not_looked_at():
    peer = Peer()
    handler = peer.open(1, (b"content-length", b"7"))
    peer.send(peer.data(1, prefixed(b"x")), peer.data(1, b"", frames.END_STREAM))
    assert handler.words() == ["message", "ended"]


def test_trailers_of_a_client_end_its_half():
    peer = Peer()
    handler = peer.open()
    peer.send(peer.headers(1, [(b"x-end", b"1")], frames.END_STREAM))
    assert handler.said == [("ended", None)]


def test_a_padded_frame_is_its_data_and_counts_whole():
    peer = Peer(stream_window=1000)
    handler = peer.open()
    peer.heard()
    peer.send(peer.data(1, b"\xf0" + prefixed(bytes(400)) + bytes(240), frames.PADDED))
    assert handler.messages() == [bytes(400)]
    assert peer.heard() == [(frames.WINDOW_UPDATE, 0, 1, (646).to_bytes(4, "big"))]


def test_a_half_message_at_the_end_is_an_error_of_its_call():
    peer = Peer()
    handler = peer.open()
    peer.send(peer.data(1, b"\0\0\0\0\x09half", frames.END_STREAM))
    assert handler.code is StatusCode.INTERNAL
    assert peer.kinds() == [frames.HEADERS]


def test_a_bomb_costs_its_call_alone():
    peer = Peer()
    handler = peer.open(1, (b"grpc-encoding", b"gzip"))
    bomb = prefixed(gzip.compress(bytes(100_000_000)), 1)
    peer.send(*(peer.data(1, bomb[i : i + 16_384]) for i in range(0, len(bomb), 16_384)))
    assert handler.code is StatusCode.RESOURCE_EXHAUSTED
    assert handler.messages() == []
    peer.open(3)


# -- hostile clients -------------------------------------------------------------------------------------------------


def test_calls_beyond_the_limit_are_refused():
    peer = Peer(max_calls=3)
    for stream_id in (1, 3, 5):
        peer.open(stream_id)
    peer.heard()
    peer.send(peer.headers(7, REQUEST))
    assert peer.heard() == [(frames.RST_STREAM, 0, 7, b"\0\0\0\7")]
    peer.send(frame(frames.RST_STREAM, 0, 1, b"\0\0\0\x08"))
    peer.open(9)
    assert peer.engine.call_count == 3


def test_opening_and_resetting_at_once_ends_the_connection():
    peer = Peer(max_resets=50)
    attack = [
        peer.headers(stream_id, REQUEST) + frame(frames.RST_STREAM, 0, stream_id, b"\0\0\0\x08")
        for stream_id in range(1, 103, 2)
    ]
    assert "reset" in peer.dies(*attack, code=frames.ENHANCE_YOUR_CALM)
    assert len(peer.end.opened) == 51


def test_making_us_reset_ends_the_connection_too():
    peer = Peer(max_resets=50)
    attack = [
        peer.headers(stream_id, REQUEST) + window_update(stream_id, 2**31 - 1)
        for stream_id in range(1, 103, 2)
    ]
    peer.dies(*attack, code=frames.ENHANCE_YOUR_CALM)


def test_making_us_refuse_ends_the_connection_too():
    peer = Peer(max_resets=50)
    peer.end.on_call = lambda _path, call: call.fail(StatusCode.UNAUTHENTICATED)
    peer.dies(*(peer.headers(i, REQUEST) for i in range(1, 105, 2)), code=frames.ENHANCE_YOUR_CALM)
    assert len(peer.end.opened) == 51


def test_errors_after_an_answer_are_not_counted():
    peer = Peer(max_resets=50)
    for stream_id in range(1, 201, 2):
        peer.open(stream_id)
        call = peer.end.opened[-1][2]
        call.send(b"an answer")
        peer.heard()
        call.fail(StatusCode.UNAVAILABLE)


def test_bombs_cost_no_more_than_a_little_work():
    peer = Peer(max_inflated_bytes=1_000_000)
    bomb = prefixed(gzip.compress(bytes(1_000_000)), 1)
    handlers = []
    for stream_id in (1, 3, 5):
        handlers.append(peer.open(stream_id, (b"grpc-encoding", b"gzip")))
        peer.send(peer.data(stream_id, bomb))
    assert [len(handler.messages()) for handler in handlers] == [1, 1, 0]
    assert handlers[2].code is StatusCode.RESOURCE_EXHAUSTED


def test_a_longer_message_is_taken_once_the_peer_is_known():
    peer = Peer(max_message_bytes=10)
    handler = peer.open()
    peer.engine.limits = dataclasses.replace(peer.engine.limits, max_message_bytes=100)
    peer.send(peer.data(1, prefixed(bytes(100))))
    assert handler.messages() == [bytes(100)]


@pytest.mark.parametrize("ping", [frame(frames.PING, 0, 0, bytes(7)), frame(frames.PING, 0, 1, bytes(8))])
def test_a_malformed_ping_ends_the_connection(ping):
    Peer().dies(ping, code=frames.FRAME_SIZE_ERROR)


def test_calls_beyond_the_limit_are_counted_as_well():
    peer = Peer(max_calls=1, max_resets=50)
    peer.dies(*(peer.headers(i, REQUEST) for i in range(1, 107, 2)), code=frames.ENHANCE_YOUR_CALM)


def test_resets_of_calls_that_were_answered_are_not_counted():
    peer = Peer(max_resets=50)
    for stream_id in range(1, 201, 2):
        peer.open(stream_id)
        peer.end.opened[-1][2].send(b"an answer")
        peer.heard()
        peer.send(frame(frames.RST_STREAM, 0, stream_id, b"\0\0\0\x08"))
    assert peer.engine.call_count == 0


@pytest.mark.parametrize(
    ("limit", "flood"),
    [
        ("max_pings", frame(frames.PING, 0, 0, bytes(8))),
        ("max_pings", frame(frames.PING, frames.ACK, 0, bytes(8))),
        ("max_settings", frame(frames.SETTINGS, 0, 0)),
        ("max_settings", frame(frames.SETTINGS, frames.ACK, 0)),
        ("max_idle_frames", frame(frames.DATA, 0, 1)),
        ("max_idle_frames", frame(frames.DATA, frames.PADDED, 1, b"\0")),
        ("max_idle_frames", frame(frames.PRIORITY, 0, 1, bytes(5))),
        ("max_idle_frames", frame(0xFA, 0, 1, b"who knows")),
    ],
)
def test_a_flood_ends_the_connection(limit, flood):
    peer = Peer(**{limit: 50})
    peer.open()
    peer.dies(*[flood] * 51, code=frames.ENHANCE_YOUR_CALM)


@pytest.mark.parametrize(
    "late",
    [
        frame(frames.DATA, 0, 1, b"late"),
        frame(frames.RST_STREAM, 0, 1, b"\0\0\0\x08"),
        window_update(1, 1),
    ],
)
def test_late_frames_are_forgiven_and_a_flood_of_them_is_not(late):
    peer = Peer(max_idle_frames=50)
    peer.open()
    peer.end.opened[-1][2].fail(StatusCode.UNAVAILABLE)
    peer.send(*[late] * 50)
    peer.heard()
    peer.dies(*[late] * 33, code=frames.ENHANCE_YOUR_CALM)


def test_late_headers_are_read_for_the_tables_sake():
    peer = Peer()
    peer.open()
    peer.end.opened[-1][2].fail(StatusCode.UNAVAILABLE)
    peer.send(peer.headers(1, [(b"x-indexed", b"now")], frames.END_STREAM))
    assert peer.open(3, (b"x-indexed", b"now")).said == []
    assert ("x-indexed", "now") in peer.end.opened[-1][1]


def test_late_data_of_a_dead_call_opens_the_connections_window_again():
    peer = Peer(connection_window=100_000)
    peer.open()
    peer.end.opened[-1][2].fail(StatusCode.UNAVAILABLE)
    peer.heard()
    peer.send(*[peer.data(1, bytes(10_000))] * 5)
    assert peer.heard() == [(frames.WINDOW_UPDATE, 0, 0, (50_000).to_bytes(4, "big"))]


def test_who_does_not_read_our_answers_is_cut():
    peer = Peer(max_output_bytes=1000)
    with pytest.raises(GrpcProtocolError):
        peer.send(*[frame(frames.PING, 0, 0, bytes(8))] * 100)


def test_more_than_a_calls_window_costs_the_call():
    peer = Peer(stream_window=1000, slow=True)
    handler = peer.open()
    peer.heard()
    peer.send(peer.data(1, prefixed(bytes(900))), peer.data(1, prefixed(bytes(900))))
    assert peer.heard() == [(frames.RST_STREAM, 0, 1, b"\0\0\0\3")]
    assert handler.words() == ["message", "failed"]


def test_more_than_the_connections_window_costs_the_connection():
    peer = Peer(connection_window=100_000, max_buffered_bytes=0, slow=True)
    for stream_id in (1, 3, 5, 7, 9, 11, 13):
        peer.open(stream_id)
    data = [peer.data(stream_id, prefixed(bytes(16_000))) for stream_id in (1, 3, 5, 7, 9, 11, 13)]
    peer.dies(*data, code=frames.FLOW_CONTROL_ERROR)


def test_data_after_the_end_costs_the_call():
    peer = Peer()
    handler = peer.open(1, flags=frames.END_STREAM)
    peer.heard()
    peer.send(peer.data(1, prefixed(b"more")))
    assert handler.words() == ["ended", "failed"]
    assert peer.heard() == [(frames.RST_STREAM, 0, 1, b"\0\0\0\5")]


def test_headers_after_the_end_cost_the_call():
    peer = Peer()
    handler = peer.open(1, flags=frames.END_STREAM)
    peer.send(peer.headers(1, [(b"x", b"y")], frames.END_STREAM))
    assert handler.words() == ["ended", "failed"]


@pytest.mark.parametrize("increment", [0, 2**31 - 1])
def test_an_impossible_window_of_a_call_costs_the_call(increment):
    peer = Peer()
    handler = peer.open()
    peer.send(window_update(1, increment))
    assert handler.words() == ["failed"]
    peer.open(3)


@pytest.mark.parametrize(
    "breach",
    [
        window_update(0, 0),
        window_update(0, 2**31 - 1),
        window_update(9, 1),
        frame(frames.WINDOW_UPDATE, 0, 0, b"\0"),
        frame(frames.DATA, 0, 9, b"x"),
        frame(frames.DATA, 0, 0, b"x"),
        frame(frames.DATA, 0, 2, b"x"),
        frame(frames.DATA, frames.PADDED, 1, b"\x05xx"),
        frame(frames.RST_STREAM, 0, 9, bytes(4)),
        frame(frames.RST_STREAM, 0, 1, bytes(3)),
        frame(frames.RST_STREAM, 0, 0, bytes(4)),
        frame(frames.PING, 0, 0, bytes(7)),
        frame(frames.PING, 0, 1, bytes(8)),
        frame(frames.SETTINGS, 0, 1),
        frame(frames.SETTINGS, 0, 0, b"\0\4\x80\0\0\0"),
        frame(frames.SETTINGS, 0, 0, b"\0\5\0\0\0\1"),
        frame(frames.SETTINGS, frames.ACK, 0, b"\0\4\0\0\0\1"),
        frame(frames.GOAWAY, 0, 0, bytes(7)),
        frame(frames.GOAWAY, 0, 1, bytes(8)),
        frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, bytes(10)),
        frame(frames.HEADERS, frames.END_HEADERS, 3, b"\xff\xff\xff\xff\xff"),
        frame(frames.HEADERS, frames.END_HEADERS, 2, b"\x88"),
        frame(frames.HEADERS, frames.END_HEADERS, 0, b"\x88"),
        frame(frames.HEADERS, frames.END_HEADERS | frames.PADDED, 3, b"\xff\x88"),
        frame_header(frames.DATA, 0, 1, 16_385),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_breach_of_http_2_costs_the_connection(breach):
    peer = Peer()
    peer.open()
    peer.dies(breach)


def test_a_header_list_twice_over_the_limit_costs_the_connection():
    peer = Peer()
    peer.send(peer.headers(1, [*REQUEST, (b"big", b"x" * 3000)]))
    indexed = peer.headers(3, [*REQUEST, *[(b"big", b"x" * 3000)] * 1000])
    assert len(indexed) < 2000  # a bomb of HPACK's
    peer.dies(indexed)


def test_the_first_frame_must_be_settings():
    end = GrpcEnd(GrpcRole.SERVER)
    with pytest.raises(GrpcProtocolError, match="SETTINGS"):
        end.engine.receive(frames.PREFACE + frame(frames.PING, 0, 0, bytes(8)))


def test_settings_nobody_knows_are_not_kept():
    peer = Peer()
    for begin in range(10, 10_000, 1000):
        peer.send(
            frame(
                frames.SETTINGS,
                0,
                0,
                b"".join(b"%c%c\0\0\0\1" % divmod(i, 256) for i in range(begin, begin + 1000)),
            )
        )
    assert len(peer.engine._h2.remote_settings) < 10


def test_stalled_calls_do_not_stall_the_others_until_all_is_full():
    peer = Peer(stream_window=100_000, connection_window=200_000, max_buffered_bytes=300_000, slow=True)
    for stream_id in range(1, 21, 2):
        peer.open(stream_id)
    room = 200_000
    sent = 0
    for stream_id in range(1, 21, 2):
        for _ in range(6):
            if room < 16_005:
                break
            peer.send(peer.data(stream_id, prefixed(bytes(16_000))))
            room -= 16_005
            sent += 16_005
            room += sum(
                int.from_bytes(payload, "big")
                for kind, _, on, payload in peer.heard()
                if kind == frames.WINDOW_UPDATE and on == 0
            )
    assert 300_000 + 100_000 - 16_005 < sent <= 300_000 + 200_000
    _, _, call, _ = peer.end.opened[0]
    call.consumed(6 * 16_000)
    call.fail(StatusCode.UNAVAILABLE)
    peer.end.opened[1][2].fail(StatusCode.UNAVAILABLE)
    assert any(kind == frames.WINDOW_UPDATE and on == 0 for kind, _, on, _ in peer.heard())


def test_more_may_be_allowed_once_the_peer_is_known():
    peer = Peer(connection_window=100_000, max_buffered_bytes=0, max_pings=1, slow=True)
    for stream_id in (1, 3, 5, 7):
        peer.open(stream_id)
        peer.send(peer.data(stream_id, prefixed(bytes(16_000))))
    assert frames.WINDOW_UPDATE not in peer.kinds()
    peer.engine.limits = dataclasses.replace(peer.engine.limits, max_buffered_bytes=100_000, max_pings=10)
    assert peer.heard() == [(frames.WINDOW_UPDATE, 0, 0, (4 * 16_005).to_bytes(4, "big"))]
    peer.send(*[frame(frames.PING, 0, 0, bytes(8))] * 10)


def test_half_messages_cannot_fill_the_memory():
    peer = Peer(max_buffered_bytes=100_000, connection_window=1_000_000)
    handlers = [peer.open(stream_id) for stream_id in range(1, 41, 2)]
    for stream_id in range(1, 41, 2):
        peer.send(peer.data(stream_id, prefixed(bytes(16_000))[:10_000]))
    assert [handler.code for handler in handlers].count(StatusCode.RESOURCE_EXHAUSTED) == 10
    peer.send(peer.data(1, prefixed(bytes(16_000))[10_000:]))
    assert handlers[0].messages() == [bytes(16_000)]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 11),
            st.sampled_from([0, 1, 4, 5, 8, 9, 13, 32, 36]),
            st.integers(0, 9),
            st.binary(max_size=40),
        ),
        max_size=12,
    ),
    st.sampled_from(GrpcRole),
)
def test_whatever_frames_come_the_engine_only_raises_its_own_error(said, role):
    peer = Peer(role)
    if role is GrpcRole.SERVER:
        peer.open()
        peer.open(3)
    else:
        for _ in range(2):
            call, _ = peer.end.open()
            call.send(b"x")
    try:
        for kind, flags, stream_id, payload in said:
            peer.send(frame(kind, flags, stream_id, payload))
            peer.engine.take(1 << 20)
    except GrpcProtocolError:
        assert peer.kinds()[-1] == frames.GOAWAY
    peer.engine.connection_lost("over")
    assert peer.engine.call_count == 0


# -- what the client makes of a server -------------------------------------------------------------------------------


def client() -> tuple[Peer, RecordingCallHandler]:
    peer = Peer(GrpcRole.CLIENT)
    _, handler = peer.end.open()
    peer.heard()
    return peer, handler


def test_an_answer_of_trailers_only():
    peer, handler = client()
    peer.send(
        peer.headers(1, [*RESPONSE, (b"grpc-status", b"16"), (b"grpc-message", b"who%3F")], frames.END_STREAM)
    )
    assert handler.said == [("failed", (StatusCode.UNAUTHENTICATED, "who?"))]
    assert peer.kinds() == [frames.RST_STREAM]  # our half was open


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ([(b":status", b"503")], StatusCode.UNAVAILABLE),
        ([(b":status", b"404"), (b"content-type", b"text/html")], StatusCode.UNIMPLEMENTED),
        ([(b":status", b"200"), (b"content-type", b"text/html")], StatusCode.UNKNOWN),
        ([*RESPONSE, (b"grpc-encoding", b"zstd")], StatusCode.INTERNAL),
        ([(b":status", b"2000")], StatusCode.INTERNAL),
    ],
)
@pytest.mark.parametrize("flags", [0, frames.END_STREAM])
def test_an_answer_that_is_not_grpc(head, code, flags):
    peer, handler = client()
    peer.send(peer.headers(1, head, flags))
    assert handler.words() == ["failed"]
    assert handler.code is code or (flags and b"grpc-encoding" in dict(head))
    assert peer.engine.call_count == 0


def test_an_answer_without_a_status_is_an_error():
    for end in ("data", "trailers"):
        peer, handler = client()
        peer.send(peer.headers(1, RESPONSE))
        if end == "data":
            peer.send(peer.data(1, prefixed(b"x"), frames.END_STREAM))
        else:
            peer.send(peer.headers(1, [(b"x", b"y")], frames.END_STREAM))
        assert handler.words()[-1] == "failed"
        assert handler.code in {StatusCode.INTERNAL, StatusCode.UNKNOWN}


def test_informational_answers_are_passed_over():
    peer, handler = client()
    peer.send(
        peer.headers(1, [(b":status", b"103")]),
        peer.headers(1, RESPONSE),
        peer.headers(1, OK, frames.END_STREAM),
    )
    assert handler.said == [("ended", None)]


@pytest.mark.parametrize(
    ("reset", "code"),
    [
        (7, StatusCode.UNAVAILABLE),
        (8, StatusCode.CANCELLED),
        (11, StatusCode.RESOURCE_EXHAUSTED),
        (2, StatusCode.INTERNAL),
    ],
)
def test_a_reset_is_a_status(reset, code):
    peer, handler = client()
    peer.send(frame(frames.RST_STREAM, 0, 1, bytes([0, 0, 0, reset])))
    assert handler.code is code


def test_data_before_the_head_costs_the_call():
    peer, handler = client()
    peer.send(peer.data(1, prefixed(b"x")))
    assert handler.code is StatusCode.INTERNAL


def test_a_server_opens_no_calls():
    peer, _ = client()
    peer.dies(peer.headers(2, REQUEST))


def test_a_server_answers_no_calls_that_nobody_opened():
    peer, _ = client()
    peer.dies(peer.headers(3, RESPONSE))


def test_messages_before_the_status_come_first_even_to_a_slow_handler():
    peer = Peer(GrpcRole.CLIENT, stream_window=1000, slow=True)
    _, handler = peer.end.open()
    peer.send(
        peer.headers(1, [*RESPONSE, (b"grpc-encoding", b"gzip")]),
        peer.data(1, prefixed(gzip.compress(bytes(2000)), 1) * 2),
        peer.headers(1, [(b"grpc-status", b"5"), (b"grpc-message", b"last")], frames.END_STREAM),
    )
    assert handler.words() == ["message"]
    handler.call.consumed(2000)
    assert handler.words() == ["message", "message", "failed"]
    assert peer.engine.call_count == 0


def test_the_servers_limit_of_calls_is_kept():
    pair = GrpcPair(server_limits=GrpcLimits(max_calls=2))
    pair.client.open()
    pair.client.open()
    assert not pair.client.engine.can_open
    assert pair.client.engine.room == 0
    with pytest.raises(RpcError) as error:
        pair.client.open()
    assert error.value.code is StatusCode.UNAVAILABLE


# -- going away ------------------------------------------------------------------------------------------------------


def test_a_server_that_goes_away_lets_running_calls_finish():
    pair = GrpcPair()
    call, caller, answering, _ = pair.open()
    pair.server.engine.go_away("old age")
    pair.pump()
    assert pair.client.events == ["going away"]
    assert pair.server.events == []
    call.send(b"more")
    answering.send(b"more")
    answering.end()
    pair.pump()
    assert caller.words() == ["message", "ended"]
    assert pair.client.events == ["going away", "finished"]
    assert pair.server.events == ["finished"]
    with pytest.raises(RpcError):
        pair.client.open()


def test_calls_under_way_at_the_first_word_are_taken():
    pair = GrpcPair()
    pair.server.engine.go_away()
    _, caller = pair.client.open()
    pair.pump()
    assert len(pair.server.opened) == 1
    pair.server.opened[0][2].end()
    pair.pump()
    assert caller.said == [("ended", None)]
    assert pair.server.events == ["finished"]


def test_calls_after_the_last_word_are_refused():
    peer = Peer()
    peer.engine.go_away("bye")
    first, ping = peer.heard()
    assert frames.read_goaway(first[3]) == (2**31 - 1, 0, "bye")
    peer.open(1)
    peer.send(frame(frames.PING, frames.ACK, 0, ping[3]))
    (last,) = peer.heard()
    assert frames.read_goaway(last[3])[0] == 1
    peer.send(peer.headers(3, REQUEST))
    assert peer.heard() == [(frames.RST_STREAM, 0, 3, b"\0\0\0\7")]
    assert peer.end.events == []
    peer.send(frame(frames.RST_STREAM, 0, 1, b"\0\0\0\x08"))
    assert peer.end.events == ["finished"]


def test_a_peer_that_does_not_answer_the_ping_is_not_waited_for():
    peer = Peer()
    peer.engine.go_away()
    peer.heard()
    for now in range(100, 122):
        peer.engine.tick(now)
        peer.send(frame(frames.PING, 0, 0, bytes(8)))
    assert peer.end.events == ["finished"]


def test_a_client_that_goes_away_finishes_its_calls():
    pair = GrpcPair()
    _, _, answering, _ = pair.open()
    pair.client.engine.go_away()
    pair.pump()
    assert pair.server.events == ["going away"]
    assert not pair.client.engine.can_open
    answering.end()
    pair.pump()
    assert pair.client.events == ["finished"]
    assert pair.server.events == ["going away", "finished"]


def test_a_goaway_fails_the_calls_it_does_not_cover():
    peer = Peer(GrpcRole.CLIENT)
    handlers = [peer.end.open()[1] for _ in range(3)]
    peer.send(frame(frames.GOAWAY, 0, 0, b"\0\0\0\3\0\0\0\x0btoo_many_pings"))
    assert [handler.words() for handler in handlers] == [[], [], ["failed"]]
    assert handlers[2].code is StatusCode.UNAVAILABLE
    assert "too_many_pings" in handlers[2].reason
    peer.send(peer.headers(1, RESPONSE), peer.headers(1, OK, frames.END_STREAM))
    assert handlers[0].said == [("ended", None)]
    assert peer.end.events == ["going away"]


# -- time and the end ------------------------------------------------------------------------------------------------


def test_a_silent_peer_is_pinged_without_any_call_and_then_given_up():
    peer = Peer()
    for now in range(100, 151):
        peer.engine.tick(now)
    assert peer.kinds() == [frames.PING]
    for now in range(151, 171):
        peer.engine.tick(now)
    with pytest.raises(GrpcProtocolError, match="timeout"):
        peer.engine.tick(171)


def test_a_client_pings_five_seconds_later_than_a_server():
    peer = Peer(GrpcRole.CLIENT)
    for now in range(100, 155):
        peer.engine.tick(now)
    assert peer.kinds() == []
    peer.engine.tick(155)
    assert peer.kinds() == [frames.PING]


def test_floods_are_forgotten_after_a_while():
    peer = Peer(max_pings=50)
    for now in range(100, 200, 10):
        peer.engine.tick(now)
        peer.send(*[frame(frames.PING, 0, 0, bytes(8))] * 50)
        peer.heard()


def test_a_lost_connection_ends_every_call():
    pair = GrpcPair()
    both = [pair.open() for _ in range(3)]
    pair.client.engine.connection_lost("cable")
    pair.server.engine.connection_lost("cable")
    for call, caller, answering, answerer in both:
        assert caller.said == [("failed", (StatusCode.UNAVAILABLE, "cable"))]
        assert answerer.said == [("failed", (StatusCode.CANCELLED, "cable"))]
        call.send(b"x")
        answering.fail(StatusCode.INTERNAL)
        call.end()
    assert not pair.client.engine.has_output
    assert not pair.client.engine.can_open


def test_nothing_stays_of_calls_that_are_over():
    pair = GrpcPair()

    def calls(begin: int, count: int) -> None:
        for i in range(begin, begin + count):
            call, _, answering, _ = pair.open()
            if i % 3 == 0:
                call.fail(StatusCode.CANCELLED)
            elif i % 3 == 1:
                answering.fail(StatusCode.UNAVAILABLE)
            else:
                call.end()
                answering.end()
            pair.pump()
            pair.server.opened.clear()
            if i % 500 == 0:
                pair.client.engine.tick(i)
                pair.server.engine.tick(i)

    tracemalloc.start()
    calls(0, 3000)
    before, _ = tracemalloc.get_traced_memory()
    calls(3000, 3000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000
    for engine in (pair.client.engine, pair.server.engine):
        assert engine.call_count == 0
        assert len(engine._h2.streams) <= 64
        assert len(engine._h2._closed_streams) <= 1000


def test_a_call_that_is_over_keeps_its_handler_by_no_circle():
    pair = GrpcPair()
    gc.disable()
    try:
        call, caller, answering, _ = pair.open()
        answering.end()
        pair.pump()
        gone = weakref.ref(caller)
        caller.call = None
        del caller
        assert call
        assert gone() is None
    finally:
        gc.enable()
