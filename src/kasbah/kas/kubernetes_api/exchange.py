"""One proxied request: the client's connection on one side, a stream of the agent's tunnel on the other.

Synchronous both ways, one object, a task only while the Git side is asked. The steps: grant, stream, body up, head
down, bytes as they come. Flow control is end to end: the stream is told `consumed` only when the client's
transport takes bytes, and the client is not read while the stream is full. Whoever ends first takes the other along.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Final

import msgspec
import structlog

from kasbah.errors import Bug, PeerError
from kasbah.kas.http_server.exchange import NO_SUCH_DEADLINE, Client
from kasbah.kas.kubernetes_api import errors
from kasbah.kas.kubernetes_api.answers import BY_CLUSTER, REFUSAL_S, HeldAnswer, Refusal, answer_failure
from kasbah.kas.kubernetes_api.border import guarded
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.owner import ExchangeOwner
from kasbah.kas.kubernetes_api.record import JournalUnavailableError, Outcome, RequestRecord
from kasbah.kas.kubernetes_api.refusals import MAX_REFUSAL_BYTES
from kasbah.kas.kubernetes_api.tap import Tap
from kasbah.wire import response_policy
from kasbah.wire.http1 import RequestHead
from kasbah.wire.kubernetes_api import stamped
from kasbah.wire.kubernetes_status import Failure
from kasbah.wire.request_policy import ProxyRequest
from kasbah.wire.response_policy import ClientResponse, RefusedResponseError
from kasbah.wire.stream import ResetCode, Stream, StreamClass

_log = structlog.get_logger()
# Before the answer began and with nothing said yet, these may be tried once more on another tunnel.
_NOT_DONE: Final = frozenset({ResetCode.REFUSED})
_PERHAPS_DONE: Final = frozenset({ResetCode.CONNECTION_LOST, ResetCode.CANCELLED})


class ProxyExchange:
    """The `Exchange` of the client and the `StreamHandler` of the stream."""

    __slots__ = (
        "_answered",
        "_client",
        "_cors",
        "_grant",
        "_head",
        "_held",
        "_leased",
        "_over",
        "_owed",
        "_owner",
        "_record",
        "_refusal",
        "_request",
        "_retried",
        "_stream",
        "_switched",
        "_tap",
        "_waiting",
        "open_ended",
    )

    def __init__(
        self, owner: ExchangeOwner, head: RequestHead, client: Client, request: ProxyRequest
    ) -> None:
        self.open_ended = bool(request.target.open_ended or request.upgrade)
        self._owner = owner
        self._head = head
        self._client = client
        self._request = request
        self._record = RequestRecord(request, client.address, request.user_agent)
        self._cors = b""
        self._grant: Grant | None = None
        self._stream: Stream | None = None
        self._held: HeldAnswer | None = None
        self._refusal: Refusal | None = None
        self._answered = False
        self._switched = False
        self._tap: Tap | None = None
        self._retried = False
        self._leased = False
        self._over = False
        self._waiting = False
        self._owed = 0

    @guarded
    def begin(self, cors: bytes) -> None:
        """Start; `cors` are header lines for every answer."""
        self._cors = cors
        decision = self._owner.authorizer.find(self._request.credential)
        if decision is None:
            self._owner.seeking.add(self)
            self._owner.spawn(self._guarded(self._authorize()))
        elif isinstance(decision, Grant):
            self._granted(decision)
        else:
            self._fail(errors.failure_of(decision))

    # From the client.

    def body_received(self, data: bytes) -> None:
        stream = self._stream
        if stream is None:
            return
        record = self._record
        record.received += len(data)
        if record.received > self._owner.settings.max_body_bytes and not self._switched:
            self._fail(errors.body_too_large(self._owner.settings.max_body_bytes))
        elif not stream.send(data):
            self._client.pause_body()
        if self._tap is not None:
            self._tap.from_client(data)

    def body_ended(self) -> None:
        if self._stream is not None:
            self._stream.end()

    @guarded
    def client_writable(self) -> None:
        owed, self._owed = self._owed, 0
        if owed and self._stream is not None:
            self._stream.consumed(owed)

    def client_gone(self) -> None:
        self._end(ResetCode.CANCELLED, "the client has gone", "cancelled")

    @guarded
    def deadline_passed(self) -> None:
        granted, owner = self._grant, self._owner
        if self._refusal is not None:
            self._say_refusal(explained=False)
        elif self._answered and self._held is None:
            self._lease()  # whatever length it says it has: it may take for ever to get there
        elif not self._waiting or granted is None:
            self._fail(errors.answer_late())
        elif owner.tunnels.is_busy(granted.agent_id):
            self._fail(errors.agent_busy())
        elif owner.tunnels.away_s(granted.agent_id) < owner.settings.outage_s:
            self._fail(errors.agent_away())
        else:
            self._fail(errors.agent_not_connected())

    @guarded
    def draining(self) -> None:
        """End a watch well, so that its client comes back elsewhere; let an exec use the grace."""
        if self._over or not self.open_ended or self._switched:
            return
        if self._held is not None or self._refusal is not None:
            return  # the cluster has answered, and the client soon gets to know
        if self._answered:
            self._end(ResetCode.CANCELLED, "the server is stopping", "completed")
            self._client.finish()
        else:
            self._fail(errors.not_running())

    # From the stream.

    @guarded
    def head_received(self, head: bytes) -> None:
        if self._over or self._answered:
            return
        request = self._request
        answer: ClientResponse | bytes | None = None
        try:
            if request.upgrade:
                answer = response_policy.admit_101(head, request.upgrade, request.websocket_accept)
            if answer is None:
                answer = response_policy.admit(
                    head, bodiless=request.bodiless_answer, gzip_accepted=request.gzip_accepted
                )
                if request.credential.kind == "session":
                    response_policy.refuse_pages(answer)
        except RefusedResponseError as error:
            _log.warning("answer refused", agent_id=request.credential.agent_id, error=str(error))
            self._fail(errors.failure_of(error))
            return
        self._answered = True
        record = self._record
        record.status = 101 if isinstance(answer, bytes) else answer.status
        if record.mutating and not self._owner.journal.answered(record, self):
            self._held = HeldAnswer(answer)
        else:
            self._answer(answer)

    def data_received(self, data: bytes) -> None:
        if self._over or self._stream is None:
            return
        try:
            if not self._answered:
                self._fail(errors.failure_of_reset(ResetCode.PROTOCOL, "a body came before its head"))
            elif self._held is not None:
                self._held.data.append(data)
            elif self._refusal is not None:
                self._collect(self._refusal, self._stream, data)
            else:
                self._record.sent += len(data)
                if self._client.write(data):
                    self._stream.consumed(len(data))
                else:
                    self._owed += len(data)
                if self._tap is not None:
                    self._tap.from_cluster(data)
        except Exception:  # noqa: BLE001 - as `guarded`, without its call
            self.crashed()

    @guarded
    def ended(self) -> None:
        if self._over:
            return
        if self._held is not None:
            self._held.ended = True
            return
        if not self._answered:
            self._fail(errors.answer_missing())
            return
        if self._refusal is not None:
            self._say_refusal(explained=True)
        # An upload the cluster did not wait for, or the client's half of a pipe: nobody reads it any more.
        self._end(ResetCode.CANCELLED, "", "completed")
        self._client.finish()

    @guarded
    def reset(self, code: int, message: str) -> None:
        if self._over:
            return
        self._stream = None
        if self._answered:
            self._end(ResetCode.CANCELLED, "", "broken")
            self._client.abort()
        elif self._may_retry(code):
            self._retried = True
            self._open()
        elif code in _PERHAPS_DONE and self._request.repeatable:
            self._fail(errors.agent_away())
        else:
            self._fail(errors.failure_of_reset(code, message))

    @guarded
    def writable(self) -> None:
        if not self._over:
            self._client.resume_body()

    # From the line in which it waits.

    @guarded
    def tunnel_ready(self) -> None:
        if not self._over:
            self._open()

    # From the lease.

    @guarded
    def lease_ended(self) -> None:
        self._end(ResetCode.CANCELLED, "not allowed any more", "cut")
        self._client.abort()

    # From the journal.

    @guarded
    def record_durable(self) -> None:
        held, self._held = self._held, None
        if held is None or self._over:
            return
        self._answer(held.answer)
        for data in held.data:
            self.data_received(data)
        if held.ended:
            self.ended()

    # The steps.

    def crashed(self) -> None:
        """The border: a bug in one request breaks that one off, and not the proxy with all the others."""
        _log.exception("a proxied request crashed", agent_id=self._request.credential.agent_id)
        self._end(ResetCode.INTERNAL, "", "broken")
        self._client.abort()

    async def _guarded(self, step: Coroutine[object, object, None]) -> None:
        try:
            await step
        except Exception:  # noqa: BLE001 - as `guarded`
            self.crashed()

    async def _authorize(self) -> None:
        try:
            granted = await self._owner.authorizer.authorize(self._request.credential)
        except PeerError as error:
            if not self._over:
                self._fail(errors.failure_of(error))
            return
        if not self._over:
            self._granted(granted)

    def _granted(self, granted: Grant) -> None:
        self._client.authenticated()
        self._record.grant = granted
        if self._request.impersonation is not None and not granted.may_impersonate:
            self._fail(errors.nested_impersonation())
            return
        max_body_bytes = self._owner.settings.max_body_bytes
        if (self._head.content_length or 0) > max_body_bytes:
            self._fail(errors.body_too_large(max_body_bytes))
            return
        if not self._owner.underway.enter(granted, open_ended=self.open_ended):
            self._fail(errors.too_many_requests())
            return
        access = granted.access
        self._owner.usage.proxied(access.access_type, access.user_id, access.agent_id)
        self._grant = granted
        if self.open_ended:
            self._lease()
        self._open()

    def _lease(self) -> None:
        """From now on the answer ends when the credential is no longer allowed."""
        if not self._leased and self._grant is not None:
            self._leased = True
            self._owner.leases.hold(self._request.credential, self._grant, self)

    def opening(self, head: bytes) -> bytes:
        """This head as it opens a stream under the grant: behind its envelope, and stamped."""
        request, granted, record = self._request, self._grant, self._record
        if granted is None:
            raise Bug("a request is opened without a grant")
        envelope = granted.envelope_for(
            upgrade=request.upgrade, open_ended=self.open_ended, impersonation=request.impersonation
        )
        return envelope + stamped(
            head, request_id=record.request_id, trace_id=record.trace_id, trace_flags=request.trace_flags
        )

    def _open(self) -> None:
        granted, record = self._grant, self._record
        if granted is None:
            return
        try:
            if record.mutating:
                self._owner.journal.begun(record)
            stream = self._open_nowait(granted)
        except JournalUnavailableError as error:
            _log.warning("request not recorded, so not sent", error=str(error))
            self._fail(errors.not_recorded())
            return
        except PeerError as error:
            _log.info("request cannot be sent", agent_id=granted.agent_id, error=str(error))
            self._fail(errors.opening_too_large())
            return
        if self._over:
            return
        if stream is None:
            self._wait(granted)
        else:
            self._opened(stream)

    def _open_nowait(self, granted: Grant) -> Stream | None:
        request, owner = self._request, self._owner
        if request.target.verb == "watch" and request.repeatable and not request.bodiless_answer:
            return owner.watches.open_nowait(granted, request, self)
        return owner.tunnels.open_nowait(granted, self.opening(request.head), self._class(), self)

    def _wait(self, granted: Grant) -> None:
        if not self._waiting:  # in line for the first time: who was asked in vain has no new time
            self._waiting = True
            self._client.set_deadline(self._owner.settings.agent_wait_s)
        self._owner.seeking.add(self)
        self._owner.tunnels.wait(granted.agent_id, self)

    def _opened(self, stream: Stream) -> None:
        self._stream = stream
        self._owner.seeking.discard(self)
        if not self.open_ended or self._request.upgrade:
            self._client.set_deadline(self._owner.settings.head_timeout_s + 1)
        elif self._waiting:
            self._client.set_deadline(NO_SUCH_DEADLINE)
        self._waiting = False
        if self._head.has_body:
            self._client.accept_body()
        elif not self._request.upgrade:
            stream.end()

    def _answer(self, answer: ClientResponse | bytes) -> None:
        """Begin the answer: a 101's whole head, or an ordinary one's."""
        client = self._client
        if isinstance(answer, bytes):
            self._switched = True
            BY_CLUSTER[1].inc()
            self._tap = self._owner.recorder.tap(self._record, answer)
            client.switch_protocols(answer)  # brings what the client has said already: it is tapped, too
            return
        BY_CLUSTER[answer.status // 100].inc()
        if answer.content_length is None and not answer.bodiless:
            self._lease()  # nobody knows its end, whatever the path is called: an extension may stream from any
        if answer.status == 403 and not answer.bodiless:
            self._refusal = Refusal(answer)
            client.set_deadline(REFUSAL_S)
        else:
            self._start(answer, answer.content_length)
        if self._request.upgrade and self._stream is not None:
            self._stream.end()  # the cluster declined: nothing of what the client said behind its head counts

    def _start(self, answer: ClientResponse, content_length: int | None) -> None:
        lines = answer.lines + self._cors if self._cors else answer.lines
        # Most answers are whole by then; one that is not is to end with its credential, like those without a length.
        self._client.set_deadline(NO_SUCH_DEADLINE if self._leased else self._owner.settings.grant_ttl_s)
        self._client.start(lines, content_length, bodiless=answer.bodiless)

    def _collect(self, refusal: Refusal, stream: Stream, data: bytes) -> None:
        stream.consumed(len(data))
        refusal.body += data
        if len(refusal.body) > MAX_REFUSAL_BYTES:
            self._say_refusal(explained=False)

    def _say_refusal(self, *, explained: bool) -> None:
        """Pass a 403 on, complete with an explanation or as far as it has come."""
        refusal, self._refusal = self._refusal, None
        granted = self._grant
        if refusal is None or granted is None:
            return
        answer, body = refusal.answer, bytes(refusal.body)
        content_length = answer.content_length
        if explained:
            told = self._owner.explainer.explain(granted, self._request, answer.content_type, body)
            body = body if told is None else told
            content_length = len(body)
        self._start(answer, content_length)
        self._record.sent += len(body)
        self._client.write(body)

    def _class(self) -> StreamClass:
        if self._request.upgrade:
            return StreamClass.KEYSTROKE
        return StreamClass.WATCH if self.open_ended else StreamClass.SMALL

    def _may_retry(self, code: int) -> bool:
        if self._retried or self._record.received or self._head.has_body:
            return False
        return code in _NOT_DONE or (code in _PERHAPS_DONE and self._request.repeatable)

    # Ends.

    def _fail(self, failure: Failure) -> None:
        """Answer with a Status; too late for that, the connection breaks off."""
        if self._answered:
            self._end(ResetCode.CANCELLED, "", "broken")
            self._client.abort()
            return
        # What a person quotes is found in the audit log and in the trace.
        failure = msgspec.structs.replace(failure, trace_id=self._record.trace_id)
        self._record.status = failure.code
        self._end(ResetCode.CANCELLED, "", "refused")
        credential = self._request.credential
        _log.info(
            "request refused",
            agent_id=credential.agent_id,
            status=failure.code,
            reason=failure.text,
            trace_id=failure.trace_id,
        )
        self._answered = True
        answer_failure(self._head, self._client, failure, self._cors)

    def _end(self, code: ResetCode, message: str, outcome: Outcome) -> None:
        """Let go of everything but the client."""
        if self._over:
            return
        self._over = True
        self._owner.seeking.discard(self)
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.reset(code, message)
        granted, self._grant = self._grant, None
        if granted is not None:
            if self._waiting:
                self._owner.tunnels.stop_waiting(granted.agent_id, self)
            self._owner.underway.leave(granted, open_ended=self.open_ended)
            if self._leased:
                self._owner.leases.release(granted, self)
        if self._tap is not None:
            self._tap.ended()
        self._record.outcome = outcome
        self._owner.journal.ended(self._record)
