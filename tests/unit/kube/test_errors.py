from __future__ import annotations

import errno
import socket
import ssl

import pytest

from kasbah.kube.errors import unreachable


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "connect: connection refused"),
        (TimeoutError(), "i/o timeout"),
        (
            socket.gaierror(-2, "Name or service not known"),
            "lookup: no such host (Name or service not known)",
        ),
        (ssl.SSLError(1, "x"), "tls: handshake failure: connection closed"),
        (ConnectionResetError(), "connect: connection closed during the handshake"),
        (OSError(errno.EACCES, "x"), "connect: permission denied"),
        (OSError("Multiple exceptions: [Errno 1] a, [Errno 111] b"), "connect: connection refused"),
        (OSError("several addresses failed"), "connect: several addresses failed"),
    ],
)
def test_a_failed_dial_speaks_as_client_go_does(error: OSError, text: str):
    assert str(unreachable("10.0.0.1", 443, error)) == f"dial tcp 10.0.0.1:443: {text}"


def test_a_certificate_that_is_not_trusted_is_named():
    error = ssl.SSLCertVerificationError()
    error.verify_message = "self-signed certificate"
    assert "tls: failed to verify certificate: self-signed certificate" in str(unreachable("h", 1, error))


def test_whoever_was_not_reached_may_be_tried_again():
    assert unreachable("h", 1, TimeoutError()).retryable
