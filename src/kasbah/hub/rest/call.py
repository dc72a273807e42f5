"""A request on its way to a handler: who calls, with which values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from starlette.requests import Request

from kasbah.hub.errors import ForbiddenError, UnauthenticatedError
from kasbah.hub.identity import Authenticated, User
from kasbah.hub.rest.errors import PreconditionFailedError
from kasbah.kit.secrets import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """How the hub and kas are reached from outside, and which version of GitLab's API we speak."""

    external_url: str
    kas_external_url: str
    k8s_proxy_external_url: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request whose caller is known."""

    request: Request
    site: Site
    values: Mapping[str, object]
    """Path, body and query as they came, without credentials: pagination links repeat them."""
    authenticated: Authenticated | None
    job_token: Secret | None = None
    """Of a CI job, not looked up yet; on the routes of jobs alone."""

    @property
    def user(self) -> User | None:
        return self.authenticated.user if self.authenticated else None

    @property
    def credential(self) -> Authenticated:
        """The token and its owner, on routes that nobody enters without one."""
        if self.authenticated is None:
            raise UnauthenticatedError
        return self.authenticated

    @property
    def signed_in(self) -> User:
        return self.credential.user

    def require_admin(self) -> User:
        if not self.signed_in.is_admin:
            raise ForbiddenError
        return self.signed_in

    def check_unmodified(self, updated_at: datetime) -> None:
        """Honour If-Unmodified-Since, as GitLab does before a DELETE.

        Raises:
            PreconditionFailedError: the record changed after the date the client knows.
        """
        header = self.request.headers.get("if-unmodified-since")
        if header is None:
            return
        try:
            known = parsedate_to_datetime(header)
        except ValueError as error:
            raise PreconditionFailedError from error
        known = known if known.tzinfo else known.replace(tzinfo=UTC)
        if updated_at > known:
            raise PreconditionFailedError
