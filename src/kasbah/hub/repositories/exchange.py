"""One conversation of smart HTTP: a client on one side, a git process on the other.

`Advertisement` lists refs, `Fetch` serves upload-pack, `Push` serves receive-pack. Each is made for one request. A
push is watched in both directions: its ref updates on the way in, so that limits hold before git starts; git's report
on the way out, held back until the push is durable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import structlog

from kasbah.gitrepo import pkt_line
from kasbah.gitrepo.errors import (
    GitFailedError,
    GitTimedOutError,
    RequestTooLargeError,
)
from kasbah.gitrepo.process import GitCommand, GitExit, GitInput, run_git
from kasbah.gitrepo.push_answer import PushAnswer
from kasbah.gitrepo.push_request import PushRequest, PushRequestParser, RefUpdate, render_refusal
from kasbah.gitrepo.settings import MIB
from kasbah.hub.identity import User
from kasbah.hub.projects.model import Project
from kasbah.hub.repositories.client import ClientGoneError, GitClient
from kasbah.hub.repositories.service import PushService
from kasbah.hub.repositories.store import RepositoryStore

_log = structlog.get_logger()

_COMMANDS_BYTES: Final = 16 * MIB
"""Room for the ref updates before the pack."""
_FATAL_BAND: Final = b"\3"


class PushRefusedError(RequestTooLargeError):
    """The push breaks a limit of ours, or a branch's protection; git was not asked."""


AdmitUpdates = Callable[[Sequence[RefUpdate]], Awaitable[None]]
"""Raises PushRefusedError for updates that this pusher may not ask for."""


class Fetch:
    """A clone or fetch: the advertisement of refs, and the request for objects."""

    def __init__(self, store: RepositoryStore, client: GitClient, command: GitCommand) -> None:
        self._settings = store.settings
        self._client = client
        self._command = command

    async def advertise(self) -> None:
        """Answer `info/refs`, for either service."""
        service = self._command.service
        self._content_type = f"application/x-{service}-advertisement"
        # Version 2 has no "# service" line before it (git's own http-backend).
        banner = pkt_line.encode(f"# service={service}\n".encode()) + pkt_line.FLUSH
        self._banner = b"" if self._command.protocol == "version=2" else banner
        await self._finish(
            await run_git(self._command, self._settings, feed=self._feed_nothing, take=self._take)
        )

    async def serve(self, encoding: str) -> None:
        """Answer `git-upload-pack`."""
        self._content_type = f"application/x-{self._command.service}-result"
        self._banner = b""
        self._body = self._client.body(encoding=encoding, max_bytes=self._settings.max_request_bytes)
        await self._finish(
            await run_git(self._command, self._settings, feed=self._feed_body, take=self._take)
        )

    async def _feed_nothing(self, git_input: GitInput) -> None:
        git_input.close()
        await self._client.discard_body(max_bytes=0)
        await self._client.gone()

    async def _feed_body(self, git_input: GitInput) -> None:
        async for piece in self._body:
            await git_input.write(piece)
        git_input.close()
        await self._client.gone()

    async def _take(self, data: bytes) -> None:
        if self._client.status is None:
            await self._client.start(200, {"Content-Type": self._content_type})
            data = self._banner + data
        await self._client.write(data)

    async def _finish(self, ended: GitExit) -> None:
        log_ending(self._command, ended)
        if self._client.status is None:
            if ended.code != 0:
                raise GitFailedError("git could not serve the repository; see the hub's log")
            await self._client.start(200, {"Content-Type": self._content_type})
        await self._client.write(b"", last=True)


class Push:
    """A push."""

    def __init__(
        self,
        store: RepositoryStore,
        client: GitClient,
        command: GitCommand,
        *,
        project: Project,
        pusher: User | None,
        service: PushService,
        admit: AdmitUpdates,
    ) -> None:
        self._admit_updates = admit
        self._store = store
        self._settings = store.settings
        self._client = client
        self._command = command
        self._project = project
        self._pusher = pusher
        self._service = service
        self._parser = PushRequestParser(max_updates=self._settings.max_refs, max_bytes=_COMMANDS_BYTES)
        self._request = PushRequest(updates=(), capabilities=frozenset())
        self._answer: PushAnswer | None = None

    async def serve(self, encoding: str) -> None:
        """Answer `git-receive-pack`."""
        self._body = self._client.body(
            encoding=encoding, max_bytes=self._settings.max_push_bytes + _COMMANDS_BYTES
        )
        try:
            ended = await run_git(self._command, self._settings, feed=self._feed, take=self._take)
        except PushRefusedError as error:
            await self._refuse(error)
            return
        except (ClientGoneError, GitTimedOutError):
            await self._settle()
            raise
        log_ending(self._command, ended)
        await self._conclude(ended)

    async def _feed(self, git_input: GitInput) -> None:
        async for piece in self._whole_body():
            request = self._parse(piece)
            if request is not None:
                await self._admit(request)
            await git_input.write(piece)
        git_input.close()
        await self._client.gone()

    def _parse(self, piece: bytes) -> PushRequest | None:
        try:
            return self._parser.feed(piece)
        except RequestTooLargeError as error:
            self._request = self._parser.so_far
            raise PushRefusedError(str(error)) from error

    async def _whole_body(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._body:
                yield piece
        except RequestTooLargeError as error:
            limit = self._settings.max_push_bytes
            raise PushRefusedError(f"the push is larger than the limit of {limit} bytes") from error

    async def _admit(self, request: PushRequest) -> None:
        self._request = request
        self._answer = PushAnswer(side_band=request.side_band)
        await self._admit_updates(request.updates)
        creations = sum(update.creates for update in request.updates)
        if creations and await self._store.count_refs(self._project.id) + creations > self._settings.max_refs:
            raise PushRefusedError(
                f"the repository would have more than the limit of {self._settings.max_refs} refs; "
                "delete branches or tags first"
            )

    async def _take(self, data: bytes) -> None:
        if self._answer is None:
            raise GitFailedError("git answered a push before it had heard it")
        await self._pass_on(self._answer.feed(data))

    async def _pass_on(self, data: bytes) -> None:
        if self._client.status is None:
            await self._client.start(200, {"Content-Type": "application/x-git-receive-pack-result"})
        if data:
            await self._client.write(data)

    async def _conclude(self, ended: GitExit) -> None:
        answer = self._answer or PushAnswer(side_band=False)
        held = answer.held()
        if ended.code != 0 and not held and self._client.status is None:
            raise GitFailedError("git could not take the push; see the hub's log")
        moved = answer.report().accepted if self._request.wants_report else await self._came_true()
        if moved:
            held = await self._acknowledge(moved, held)
        await self._pass_on(held)
        await self._client.discard_body(max_bytes=self._settings.max_push_bytes)
        await self._client.write(b"", last=True)

    async def _acknowledge(self, moved: tuple[bytes, ...], held: bytes) -> bytes:
        try:
            await self._service.after_push(self._project, self._pusher, moved)
        except GitFailedError as error:
            _log.error("push not confirmed", project_id=self._project.id, error=str(error.__cause__ or error))
            if not self._request.side_band:
                raise
            return pkt_line.encode(_FATAL_BAND + str(error).encode() + b"\n")
        return held

    async def _refuse(self, error: PushRefusedError) -> None:
        _log.info("push refused", project_id=self._project.id, reason=str(error))
        await self._pass_on(render_refusal(self._request, str(error)))
        await self._client.discard_body(max_bytes=self._settings.max_push_bytes)
        await self._client.write(b"", last=True)

    async def _settle(self) -> None:
        """Git was stopped half-way: what came true all the same is made durable, and told."""
        moved = await self._came_true()
        if moved:
            await self._service.after_push(self._project, self._pusher, moved)

    async def _came_true(self) -> tuple[bytes, ...]:
        updates = self._request.updates
        now = await self._store.resolve(self._project.id, [update.ref for update in updates])
        return tuple(
            update.ref
            for update in updates
            if (update.deletes and update.ref not in now) or now.get(update.ref) == update.new
        )


def log_ending(command: GitCommand, ended: GitExit) -> None:
    """Git's own words about a failure; they may hold paths of ours, so the client does not get them."""
    if ended.code != 0:
        _log.warning(
            "git ended with an error",
            service=str(command.service),
            repository=command.repository.name,
            code=ended.code,
            stderr=ended.stderr,
        )
