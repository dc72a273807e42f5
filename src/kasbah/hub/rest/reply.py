"""Answers: a record and a status, and how times are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: a record (or list of them) and a status."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, status: int = 204) -> Reply:
        return cls(None, status)

    def rendered(self) -> Response:
        if self.status == 204:
            return Response(status_code=204, headers=self.headers)
        return Response(
            msgspec.json.encode(self.body), self.status, self.headers, media_type="application/json"
        )


def timestamp(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: `2026-03-01T09:15:42.317Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def timestamp_or_null(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)
