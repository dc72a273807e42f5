"""What operators and kubelet are told."""

from __future__ import annotations

import pytest

from kasbah.kas.observability.probes import Probes
from kasbah.kas.observability.settings import ObservabilitySettings
from kasbah.wire.http1 import request_head
from tests.doubles.recording_exchange import RecordingClient


def ask(path: str, why_not_ready: str = "", method: str = "GET", **paths: str) -> RecordingClient:
    head = request_head(f"{method} {path} HTTP/1.1\r\nHost: kas\r\n\r\n".encode())
    client = RecordingClient()
    Probes(lambda: why_not_ready, ObservabilitySettings(**paths))(head, client)
    return client


def test_metrics_are_in_prometheus_text():
    client = ask("/metrics")
    assert client.status == 200
    assert b"text/plain; version=" in client.lines
    assert b"# HELP " in client.body
    assert client.content_length == len(client.body)


@pytest.mark.parametrize(
    ("why", "status", "body"),
    [("", 200, b""), ("no address", 500, b"no address")],
    ids=["ready", "not ready"],
)
def test_readiness_says_what_is_missing(why: str, status: int, body: bytes):
    client = ask("/readiness", why)
    assert (client.status, client.body) == (status, body)


def test_the_paths_may_be_others():
    assert ask("/prom", metrics_path="/prom").status == 200
    elsewhere = ask("/metrics", metrics_path="/prom", readiness_path="/ready")
    assert (elsewhere.status, elsewhere.body) == (404, b"try /prom, /liveness or /ready\n")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/liveness?x=1", "GET", 200),
        ("/liveness", "HEAD", 200),
        ("/debug/pprof/", "GET", 404),
        ("/metrics", "POST", 405),
    ],
)
def test_nothing_else_is_answered(path: str, method: str, status: int):
    client = ask(path, method=method)
    assert client.status == status
    assert client.said[-1] == "finish"
