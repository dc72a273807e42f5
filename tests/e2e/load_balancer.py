"""What stands before several kas: one address, whose new connections go to the first of them that answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class LoadBalancer:
    """TCP only; knows nothing of what it carries.

    Attributes:
        ports: where it forwards to, the preferred one first; may be changed at any time.
    """

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Cut everything."""
        for taken in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                taken.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._forward, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _forward(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), self._dial() as server:
            self._open |= {client, server}
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join()
            self._open -= {client, server}

    def _dial(self) -> socket.socket:
        for port in self.ports:
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection(("127.0.0.1", port))
        raise ConnectionRefusedError


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Until one of them is over; then both are."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def load_balancer(*ports: int) -> Iterator[LoadBalancer]:
    """One for the length of the block."""
    made = LoadBalancer(list(ports))
    try:
        yield made
    finally:
        made.close()
