"""What the REST layer itself refuses with; services have their own in `hub.errors`."""

from __future__ import annotations

from collections.abc import Collection

from kasbah.errors import UserError


class ApiError(UserError):
    """An answer whose status and words a route knows exactly."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoRouteError(UserError):
    """There is no such path below /api/v4."""


class MethodNotAllowedError(UserError):
    """The path is there, the method is not."""

    def __init__(self, allowed: Collection[str]) -> None:
        super().__init__(f"use one of {', '.join(sorted(allowed))}")
        self.allowed = tuple(sorted(allowed))


class PreconditionFailedError(UserError):
    """The record changed after the date in If-Unmodified-Since."""


class KasCredentialError(UserError):
    """KAS JWT authentication invalid"""
