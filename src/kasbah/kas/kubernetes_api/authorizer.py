"""Decides who may use which agent as whom: asks the Git side, remembers for seconds, makes grants.

A decision is a function of the whole credential (its SHA-256 with kind and agent) and dies after its time to live.
One question at a time per credential, however many requests wait for it; a decision in use is renewed before it ends,
so nobody waits for it. Whatever is not a clear yes is a no: unknown answers, errors and silence all refuse.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter

from kasbah.errors import PeerError
from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.kubernetes_api import grant as grants
from kasbah.kas.kubernetes_api.directory import UNDECIDED, AccessDeniedError, Directory, UndecidedError
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.wire.credential import Credential
from kasbah.wire.identity import InvalidIdentityError

_log = structlog.get_logger()
AUTHORIZATIONS: Final = Counter(
    "kasbah_kas_kubernetes_api_authorizations", "Questions to the Git side about a credential", ["result"]
)
_GRANTED = AUTHORIZATIONS.labels("granted")
_DENIED = AUTHORIZATIONS.labels("denied")
_UNDECIDED = AUTHORIZATIONS.labels("undecided")
_RENEW_AT = 0.5  # of the time to live


class TooManyQuestionsError(PeerError):
    """Too many credentials are being looked up at once; later it may be better."""


Decision = Grant | AccessDeniedError
Outcome = Grant | AccessDeniedError | UndecidedError


class _Remembered:
    """One decision and how long it holds."""

    __slots__ = ("asked_at", "credential", "decision", "renew_at", "until")

    def __init__(self, credential: Credential, decision: Decision, asked_at: float, ttl_s: float) -> None:
        self.credential = credential
        self.decision = decision
        self.asked_at = asked_at
        self.renew_at = asked_at + ttl_s * _RENEW_AT
        self.until = asked_at + ttl_s


class Authorizer:
    """The only maker of grants; `run` it before requests come."""

    def __init__(self, directory: Directory, settings: KubernetesApiSettings, clock: CoarseClock) -> None:
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

    def find(self, credential: Credential) -> Decision | None:
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

    async def authorize(self, credential: Credential) -> Grant:
        """The grant for this credential.

        Raises:
            AccessDeniedError: it is not allowed.
            UndecidedError: the Git side could not say.
            TooManyQuestionsError: not now.
        """
        return _unwrap(self.find(credential) or await self._ask(credential))

    async def authorize_again(self, credential: Credential, *, max_age_s: float) -> tuple[Grant, float]:
        """A grant decided no longer than `max_age_s` ago, and the moment its question was asked.

        Raises:
            AccessDeniedError, UndecidedError, TooManyQuestionsError: as `authorize`.
        """
        remembered = self._remembered.get(credential.key)
        if remembered is None or remembered.asked_at + max_age_s <= self._clock.now:
            asked_at = self._clock.now
            return _unwrap(await self._ask(credential)), asked_at
        return _unwrap(remembered.decision), remembered.asked_at

    def _renew(self, credential: Credential) -> None:
        if self._group is not None and len(self._pending) < self._settings.max_pending:
            self._start(credential, self._group)

    async def _ask(self, credential: Credential) -> Outcome:
        pending = self._pending.get(credential.key)
        if pending is None:
            if self._group is None or len(self._pending) >= self._settings.max_pending:
                raise TooManyQuestionsError("too many credentials are being checked", retryable=True)
            pending = self._start(credential, self._group)
        return await asyncio.shield(pending)

    def _start(self, credential: Credential, group: asyncio.TaskGroup) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._pending[credential.key] = future
        group.create_task(self._decide(credential, future), name="authorisation")
        return future

    async def _decide(self, credential: Credential, future: asyncio.Future[Outcome]) -> None:
        asked_at = self._clock.now
        try:
            outcome = await self._question(credential)
            if not isinstance(outcome, UndecidedError):
                outcome = self._remember(credential, outcome, asked_at)
            future.set_result(outcome)
        finally:
            del self._pending[credential.key]
            future.cancel()

    async def _question(self, credential: Credential) -> Outcome:
        try:
            async with asyncio.timeout(self._settings.authorization_timeout_s):
                access = await self._directory.look_up(credential)
            if access.agent_id != credential.agent_id:
                raise UndecidedError("the Git side answered for another agent")
        except AccessDeniedError as error:
            _DENIED.inc()
            _log.info("access denied", agent_id=credential.agent_id, kind=credential.kind, reason=str(error))
            return AccessDeniedError(str(error), status=error.status)  # without the frames
        except (PeerError, OSError, TimeoutError, InvalidIdentityError) as error:
            _UNDECIDED.inc()
            _log.warning("access not decided", agent_id=credential.agent_id, error=str(error))
            text = error.text if isinstance(error, UndecidedError) else UNDECIDED[credential.kind]
            return UndecidedError(str(error), text=text, retryable=True)
        except Exception as error:  # noqa: BLE001 - a bug of ours must refuse one credential, not end the process
            _UNDECIDED.inc()
            _log.exception("authorisation crashed", agent_id=credential.agent_id)
            return UndecidedError(f"a bug in kas: {type(error).__name__}", text=UNDECIDED[credential.kind])
        _GRANTED.inc()
        deadline_ms = int(self._settings.head_timeout_s * 1000)
        return grants.issue(secrets.token_hex(8), access, deadline_ms=deadline_ms)

    def _remember(self, credential: Credential, decision: Decision, asked_at: float) -> Decision:
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
    return isinstance(old, Grant) and isinstance(new, Grant) and old.access == new.access


def _unwrap(outcome: Outcome) -> Grant:
    if isinstance(outcome, Grant):
        return outcome
    # A new error each time: a remembered one would collect the frames, and so the requests, of all who were told.
    if isinstance(outcome, AccessDeniedError):
        raise AccessDeniedError(str(outcome), status=outcome.status)
    raise UndecidedError(str(outcome), text=outcome.text, retryable=outcome.retryable)
