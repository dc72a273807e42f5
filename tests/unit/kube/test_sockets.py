from __future__ import annotations

import asyncio
import socket

from kasbah.kube.sockets import keep_alive


class Transport(asyncio.BaseTransport):
    """A transport that knows its socket."""


def test_a_connection_is_probed_and_given_up():
    with socket.socket() as sock:
        keep_alive(Transport({"socket": sock}))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


def test_what_is_no_tcp_socket_is_left_alone():
    keep_alive(Transport())
    with socket.socket(socket.AF_UNIX) as sock:
        keep_alive(Transport({"socket": sock}))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
