"""How a Kubernetes API server fails us: not reached, or broke the exchange off.

Texts follow client-go where it has one, because people search for them; they name the address and never a credential.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from typing import Final

from kasbah.errors import PeerError

_TEXTS: Final = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.ECONNRESET: "connect: connection reset by peer",
    errno.EHOSTUNREACH: "connect: no route to host",
    errno.ENETUNREACH: "connect: network is unreachable",
    errno.ETIMEDOUT: "connect: connection timed out",
    errno.EMFILE: "connect: too many open files",
}
_NUMBERS = re.compile(r"\[Errno ([0-9]{1,4})\]")


class UpstreamError(PeerError):
    """The API server broke the exchange off or broke the protocol."""


class UnreachableError(UpstreamError):
    """No connection to the API server could be made; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


def unreachable(host: str, port: int, error: BaseException) -> UnreachableError:
    """What went wrong while dialling, in client-go's words."""
    return UnreachableError(f"dial tcp {host}:{port}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"tls: handshake failure: {getattr(error, 'reason', None) or 'connection closed'}"
    if isinstance(error, socket.gaierror):
        return f"lookup: no such host ({error.strerror})"
    if isinstance(error, TimeoutError) and getattr(error, "errno", None) is None:
        return "i/o timeout"
    if isinstance(error, ConnectionError) and error.errno is None:
        return "connect: connection closed during the handshake"
    numbers = _NUMBERS.findall(str(error))  # several addresses failed, each with its own
    number = getattr(error, "errno", None) or (int(numbers[-1]) if numbers else None)
    if number is not None:
        return _TEXTS.get(number, f"connect: {os.strerror(number).lower()}")
    return f"connect: {error}"
