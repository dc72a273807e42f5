"""A request's record as a span, and spans as OTLP's JSON. Pure: told the time.

The span's id is the one that kas named as parent to agentk and the API server, so their spans lie below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from kasbah.kas.kubernetes_api.record import RequestRecord

Json = dict[str, Any]
_SERVER: Final = 2
_ERROR: Final = 2


def span_of(record: RequestRecord, *, now: float, at: float) -> Json:
    """The span; `now` is of the monotonic clock, `at` of the wall's."""
    target, grant = record.request.target, record.grant
    what = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    began = at - (now - record.started_at)
    attributes = {
        "http.request.method": record.request.head.partition(b" ")[0].decode("latin-1"),
        "http.response.status_code": record.status,
        "url.path": target.raw.partition(b"?")[0].decode("latin-1"),
        "client.address": record.client_address,
        "kasbah.agent_id": record.request.credential.agent_id,
        "kasbah.request_id": record.request_id,
        "kasbah.outcome": record.outcome,
        "kasbah.received_bytes": record.received,
        "kasbah.sent_bytes": record.sent,
        "k8s.namespace.name": target.namespace,
        "enduser.id": grant.principal if grant is not None else "",
    }
    failed = record.status >= 500 or record.outcome == "broken"
    parent = record.request.parent_id
    return {
        "traceId": record.trace_id,
        **({"parentSpanId": parent} if parent else {}),
        "spanId": record.request_id[:16],
        "name": f"{target.verb} {what}".strip(),
        "kind": _SERVER,
        "startTimeUnixNano": str(int(began * 1e9)),
        "endTimeUnixNano": str(int(at * 1e9)),
        "attributes": _attributes(attributes),
        "status": {"code": _ERROR} if failed else {},
    }


def export_request(spans: Iterable[Json], *, version: str) -> Json:
    """What the collector is sent."""
    resource = {"service.name": "kas", "service.version": version}
    scope = {"name": "kasbah.kas.kubernetes_api", "version": version}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": scope, "spans": list(spans)}],
            }
        ]
    }


def _attributes(values: Mapping[str, object]) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value != ""]


def _value(value: object) -> Json:
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}
