from __future__ import annotations

import asyncio

from bench.api_server import ALL, ONE, SENT, Conversation, Feed
from kasbah.wire.websocket import accept_key


class Socket(asyncio.Transport):
    """What was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def take(self) -> bytes:
        written, self.written = self.written, b""
        return written


def said(feed: Feed, request: str) -> tuple[Conversation, Socket]:
    conversation, socket = Conversation(feed), Socket()
    conversation.connection_made(socket)
    conversation.data_received(request.encode())
    return conversation, socket


def watching(feed: Feed) -> Socket:
    _, socket = said(feed, "GET /api/v1/pods?watch=1 HTTP/1.1\r\n\r\n")
    assert b"ADDED" in socket.take()
    return socket


def test_one_event_goes_to_the_next_watch_in_turn():
    feed = Feed()
    watches = [watching(feed), watching(feed)]
    for expected in ([1, 0], [0, 1]):
        said(feed, f"POST {ONE} HTTP/1.1\r\n\r\n")
        assert [watch.take().count(SENT) for watch in watches] == expected


def test_one_change_goes_to_all_watches_alike():
    feed = Feed()
    watches = [watching(feed), watching(feed)]
    said(feed, f"POST {ALL} HTTP/1.1\r\n\r\n")
    one, other = (watch.take() for watch in watches)
    assert one == other
    assert one.count(SENT) == 1


def test_who_has_gone_is_told_nothing():
    feed = Feed()
    conversation, socket = said(feed, "GET /?watch=1 HTTP/1.1\r\n\r\n")
    socket.take()
    conversation.connection_lost(None)
    feed.tell_one()
    feed.tell_all()
    assert socket.take() == b""


def test_an_exec_echoes_behind_its_switch():
    conversation, socket = said(
        Feed(), "GET /api/v1/namespaces/a/pods/b/exec?command=sh HTTP/1.1\r\nSec-WebSocket-Key: aGk=\r\n\r\n"
    )
    assert accept_key(b"aGk=") in socket.take()
    conversation.data_received(b"ls")
    assert socket.take() == b"ls"


def test_a_list_has_the_length_it_says():
    _, socket = said(Feed(), "GET /api/v1/pods HTTP/1.1\r\n\r\n")
    head, _, body = socket.take().partition(b"\r\n\r\n")
    assert head.endswith(b"Content-Length: %d" % len(body))
    assert len(body) == 5 * 1024 * 1024
