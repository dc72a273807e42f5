"""Decides who may use which agent as whom: asks the Git side, remembers for seconds, makes grants.

A decision is a function of the whole credential (its SHA-256 with kind and agent) and dies after its time to live.
One question at a time per credential, however many requests wait for it; a decision in use is renewed before it ends,
so nobody waits for it. Whatever is not a clear yes is a no: unknown answers, errors and silence all refuse.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from prometheus_client import Counter

from kasbah.errors import PeerError
from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.hub_client.errors import HubForbiddenError, HubNotFoundError, HubUnauthenticatedError
from kasbah.kas.hub_client.records import ProxyUser
from kasbah.kas.kubernetes_api import grant as grants
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.impersonation import identity_of
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kit.secrets import Secret
from kasbah.wire.identity import InvalidIdentityError
from kasbah.wire.request_policy import BearerCredential

_log = structlog.get_logger()
AUTHORIZATIONS: Final = Counter(
    "kasbah_kas_kubernetes_api_authorizations", "Questions to the Git side about a credential", ["result"]
)
_GRANTED = AUTHORIZATIONS.labels("granted")
_DENIED = AUTHORIZATIONS.labels("denied")
_UNDECIDED = AUTHORIZATIONS.labels("undecided")
_RENEW_AT = 0.5  # of the time to live


class AccessDeniedError(PeerError):
    """The Git side does not allow this credential the agent, or knows neither."""


class UndecidedError(PeerError):
    """Nobody could say whether this is allowed, so it is not."""


class TooManyQuestionsError(PeerError):
    """Too many credentials are being looked up at once; later it may be better."""


class ProxyUserDirectory(Protocol):
    """Where people are known; `HubClient` is one."""

    async def authorize_proxy_user(self, agent_id: int, token: Secret) -> ProxyUser: ...


Decision = Grant | AccessDeniedError
Outcome = Grant | AccessDeniedError | UndecidedError


class _Remembered:
    """One decision and how long it holds."""

    __slots__ = ("asked_at", "credential", "decision", "renew_at", "until")

    def __init__(
        self, credential: BearerCredential, decision: Decision, asked_at: float, ttl_s: float
    ) -> None:
        self.credential = credential
        self.decision = decision
        self.asked_at = asked_at
        self.renew_at = asked_at + ttl_s * _RENEW_AT
        self.until = asked_at + ttl_s


class Authorizer:
    """The only maker of grants; `run` it before requests come."""

    def __init__(
        self, directory: ProxyUserDirectory, settings: KubernetesApiSettings, clock: CoarseClock
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._remembered: dict[bytes, _Remembered] = {}
        self._pending: dict[bytes, asyncio.Future[Outcome]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Own the questions until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                ready()
                await asyncio.Event().wait()
            finally:
                self._group = None

    def find(self, credential: BearerCredential) -> Decision | None:
        """The decision that holds now, without waiting; None when somebody must ask."""
        remembered = self._remembered.get(credential.key)
        if remembered is None:
            return None
        now = self._clock.now
        if remembered.until <= now:
            return None
        if remembered.renew_at <= now and credential.key not in self._pending:
            self._renew(credential)
        return remembered.decision

    async def authorize(self, credential: BearerCredential) -> Grant:
        """The grant for this credential.

        Raises:
            AccessDeniedError: it is not allowed.
            UndecidedError: the Git side could not say.
            TooManyQuestionsError: not now.
        """
        return _unwrap(self.find(credential) or await self._ask(credential))

    async def authorize_again(self, credential: BearerCredential, *, max_age_s: float) -> tuple[Grant, float]:
        """A grant decided no longer than `max_age_s` ago, and the moment its question was asked.

        Raises:
            AccessDeniedError, UndecidedError, TooManyQuestionsError: as `authorize`.
        """
        remembered = self._remembered.get(credential.key)
        if remembered is None or remembered.asked_at + max_age_s <= self._clock.now:
            asked_at = self._clock.now
            return _unwrap(await self._ask(credential)), asked_at
        return _unwrap(remembered.decision), remembered.asked_at

    def _renew(self, credential: BearerCredential) -> None:
        if self._group is not None and len(self._pending) < self._settings.max_pending:
            self._start(credential, self._group)

    async def _ask(self, credential: BearerCredential) -> Outcome:
        pending = self._pending.get(credential.key)
        if pending is None:
            if self._group is None or len(self._pending) >= self._settings.max_pending:
                raise TooManyQuestionsError("too many credentials are being checked", retryable=True)
            pending = self._start(credential, self._group)
        return await asyncio.shield(pending)

    def _start(self, credential: BearerCredential, group: asyncio.TaskGroup) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._pending[credential.key] = future
        group.create_task(self._decide(credential, future), name="authorisation")
        return future

    async def _decide(self, credential: BearerCredential, future: asyncio.Future[Outcome]) -> None:
        asked_at = self._clock.now
        try:
            outcome = await self._question(credential)
            if not isinstance(outcome, UndecidedError):
                outcome = self._remember(credential, outcome, asked_at)
            future.set_result(outcome)
        finally:
            del self._pending[credential.key]
            future.cancel()

    async def _question(self, credential: BearerCredential) -> Outcome:
        try:
            async with asyncio.timeout(self._settings.authorization_timeout_s):
                user = await self._directory.authorize_proxy_user(
                    credential.agent_id, Secret(credential.token)
                )
            if user.agent_id != credential.agent_id:
                raise UndecidedError("the Git side answered for another agent")
            granted = self._issue(user)
        except (HubUnauthenticatedError, HubForbiddenError, HubNotFoundError) as error:
            _DENIED.inc()
            _log.info("access denied", agent_id=credential.agent_id, reason=str(error))
            return AccessDeniedError(str(error))
        except (PeerError, OSError, TimeoutError, InvalidIdentityError) as error:
            _UNDECIDED.inc()
            _log.warning("access not decided", agent_id=credential.agent_id, error=str(error))
            return UndecidedError(str(error), retryable=True)
        except Exception as error:  # noqa: BLE001 - a bug of ours must refuse one credential, not end the process
            _UNDECIDED.inc()
            _log.exception("authorisation crashed", agent_id=credential.agent_id)
            return UndecidedError(f"a bug in kas: {type(error).__name__}")
        _GRANTED.inc()
        return granted

    def _issue(self, user: ProxyUser) -> Grant:
        return grants.issue(
            secrets.token_hex(8),
            agent_id=user.agent_id,
            principal=f"user:{user.user_id}",
            username=user.username,
            identity=identity_of(user),
            deadline_ms=int(self._settings.head_timeout_s * 1000),
        )

    def _remember(self, credential: BearerCredential, decision: Decision, asked_at: float) -> Decision:
        """Keep the decision; a grant that says the same as the last one is the last one, so streams go on under it."""
        old = self._remembered.pop(credential.key, None)
        if old is not None and _same(old.decision, decision):
            decision = old.decision
        ttl_s = self._settings.grant_ttl_s if isinstance(decision, Grant) else self._settings.denial_ttl_s
        while len(self._remembered) >= self._settings.max_grants:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[credential.key] = _Remembered(credential, decision, asked_at, ttl_s)
        return decision


def _same(old: Decision, new: Decision) -> bool:
    return (
        isinstance(old, Grant)
        and isinstance(new, Grant)
        and (old.agent_id, old.principal, old.username, old.identity)
        == (new.agent_id, new.principal, new.username, new.identity)
    )


def _unwrap(outcome: Outcome) -> Grant:
    if isinstance(outcome, Grant):
        return outcome
    # A new error each time: a remembered one would collect the frames, and so the requests, of all who were told.
    raise type(outcome)(str(outcome), retryable=outcome.retryable)
