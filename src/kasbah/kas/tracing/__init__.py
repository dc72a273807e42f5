"""Spans of proxied requests for a collector of traces, over OTLP (HTTP with JSON).

Made from a request's record when it ends, so a request costs nothing while nobody collects. The trace itself needs none of
this: kas passes the client's W3C context on to agentk and the API server, or begins one.
"""

from __future__ import annotations
