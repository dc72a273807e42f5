"""Git over smart HTTP (gitprotocol-http): who asks for which repository, and whether they may.

Everything a Git client sees is decided here: the three paths below a project, Basic credentials whose password is a
personal access token, the texts that git prints after "remote:". The conversation itself is `exchange`. Paths are
taken literally: a project's path needs no percent-encoding, so an encoded one is no project's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import parse_qs

import structlog
from prometheus_client import Counter
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from kasbah.errors import PeerError, UserError
from kasbah.gitrepo.errors import BadGitRequestError, GitTimedOutError, RequestTooLargeError
from kasbah.gitrepo.process import GitCommand, GitService
from kasbah.gitrepo.push_request import RefUpdate
from kasbah.hub.errors import AccountBlockedError, DatabaseUnavailableError, UnauthenticatedError
from kasbah.hub.identity import Authenticated, User
from kasbah.hub.kas_client import KasClient
from kasbah.hub.projects.model import Project, ProtectedBranch
from kasbah.hub.repositories import access
from kasbah.hub.repositories.access import (
    AccessRefusedError,
    CredentialsNeededError,
    ProjectHiddenError,
    Standing,
)
from kasbah.hub.repositories.client import ClientGoneError, GitClient
from kasbah.hub.repositories.exchange import AdmitUpdates, Fetch, Push, PushRefusedError
from kasbah.hub.repositories.service import PushService
from kasbah.hub.repositories.store import RepositoryStore
from kasbah.hub.repositories.turns import BusyError, Turns
from kasbah.kit.secrets import Secret

_log = structlog.get_logger()

_SEGMENT = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PATH = re.compile(
    rf"/(?P<repository>{_SEGMENT}(?:/{_SEGMENT})+)"
    r"/(?P<operation>info/refs|git-upload-pack|git-receive-pack|HEAD|objects/.+)"
)
_LONGEST_PATH: Final = 1024
_REALM: Final = {"WWW-Authenticate": 'Basic realm="GitLab"'}
_BUSY_RETRY: Final = {"Retry-After": "10"}


REQUESTS: Final = Counter(
    "kasbah_hub_git_requests", "Requests of Git clients by how they were answered", ["status"]
)


class Accounts(Protocol):
    async def authenticate_pat(self, secret: Secret) -> Authenticated: ...


class Projects(Protocol):
    async def find_by_path(self, full_path: str) -> Project | None: ...

    async def access_level(self, user: User | None, project: Project) -> int: ...

    async def can_read(self, user: User | None, project: Project) -> bool: ...

    async def touch(self, project_id: int) -> None: ...

    async def set_default_branch(self, project_id: int, branch: str) -> None: ...

    async def protected_branches(self, project_id: int) -> list[ProtectedBranch]: ...


class NotGitError(UserError):
    """The request is refused before anything is looked up."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    project_path: str
    service: GitService
    advertise: bool
    redirect: str = ""
    """Where the listing of refs truly lies, when the client left out `.git`."""


def git_app(
    repositories: RepositoryStore, accounts: Accounts, projects: Projects, kas_client: KasClient
) -> ASGIApp:
    """Smart HTTP for every project; answers 404 to what is not Git."""
    return _GitApp(repositories, accounts, projects, PushService(repositories, projects, kas_client))


class _GitApp:
    def __init__(
        self, repositories: RepositoryStore, accounts: Accounts, projects: Projects, pushes: PushService
    ) -> None:
        self._repositories = repositories
        self._accounts = accounts
        self._projects = projects
        self._pushes = pushes
        settings = repositories.settings
        self._turns = Turns(
            total=settings.max_processes,
            per_caller=settings.max_processes_per_caller,
            wait_s=settings.queue_s,
        )
        self._swept: set[int] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)
        client = GitClient(receive, send, idle_s=self._repositories.settings.idle_s)
        try:
            await self._answer(request, client)
        except ClientGoneError as error:
            _log.debug("git client left", reason=str(error))
        finally:
            REQUESTS.labels(str(client.status or "none")).inc()

    async def _answer(self, request: Request, client: GitClient) -> None:
        try:
            await self._serve(request, client)
        except ClientGoneError:
            raise
        except Exception as error:
            status, text, headers = _refusal(error)
            if isinstance(error, DatabaseUnavailableError):
                _log.warning("git request not served", error=str(error))
            if client.status:
                # Too late for a status: only a broken connection says that the answer is not whole.
                raise
            await client.answer(status, text, headers)

    async def _serve(self, request: Request, client: GitClient) -> None:
        ask = parse_request(request)
        if ask.redirect:
            await client.answer(301, f"Moved to {ask.redirect}", {"Location": ask.redirect})
            return
        authenticated = await self._authenticate(request)
        project = await self._authorise(authenticated, ask)
        _check_content_type(request, ask)
        command = GitCommand(
            service=ask.service,
            repository=self._repositories.path(project.id),
            advertise=ask.advertise,
            protocol=_protocol(request, ask),
        )
        async with self._turns.turn(_caller(request, authenticated)):
            await self._converse(request, client, command, project, authenticated)

    async def _converse(
        self,
        request: Request,
        client: GitClient,
        command: GitCommand,
        project: Project,
        authenticated: Authenticated | None,
    ) -> None:
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if command.advertise:
            await Fetch(self._repositories, client, command).advertise()
        elif command.service is GitService.UPLOAD_PACK:
            await Fetch(self._repositories, client, command).serve(encoding)
        else:
            await self._sweep(project.id)
            pusher = authenticated.user if authenticated else None
            push = Push(
                self._repositories,
                client,
                command,
                project=project,
                pusher=pusher,
                service=self._pushes,
                admit=self._admit(project, pusher),
            )
            await push.serve(encoding)

    def _admit(self, project: Project, user: User | None) -> AdmitUpdates:
        """Judges a push by the branches it wants to move, as they are protected by then."""

        async def admit(updates: Sequence[RefUpdate]) -> None:
            rules = await self._projects.protected_branches(project.id)
            level = await self._projects.access_level(user, project)
            is_admin = user is not None and user.is_admin
            if reason := access.refusal(updates, rules, level=level, is_admin=is_admin):
                raise PushRefusedError(reason)

        return admit

    async def _authorise(self, authenticated: Authenticated | None, ask: _Ask) -> Project:
        user = authenticated.user if authenticated else None
        project = await self._projects.find_by_path(ask.project_path)
        if project is None:
            raise ProjectHiddenError if user else CredentialsNeededError
        standing = Standing(
            scopes=authenticated.scopes if authenticated else None,
            can_read=await self._projects.can_read(user, project),
            level=await self._projects.access_level(user, project),
            private=project.visibility == "private",
            archived=project.archived,
        )
        access.check(ask.service, standing)
        return project

    async def _authenticate(self, request: Request) -> Authenticated | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        authenticated = await self._accounts.authenticate_pat(_password(header))
        request.state.authenticated = True  # for the server before us, which counts strangers
        return authenticated

    async def _sweep(self, project_id: int) -> None:
        # Once a repository and process: the locks of this process' own git runs are removed by git.
        if project_id not in self._swept:
            self._swept.add(project_id)
            await self._repositories.remove_stale(project_id)


def parse_request(request: Request) -> _Ask:
    """What a request asks for, by its path, method and query.

    Raises:
        NotGitError: not a path of ours, the dumb protocol, an unknown service, a wrong method.
    """
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.partition(b"?")[0].decode("latin-1")
    match = _PATH.fullmatch(path) if len(path) <= _LONGEST_PATH else None
    if match is None:
        raise NotGitError(404, "There is nothing here. A repository's address ends in .git.")
    operation = match["operation"]
    if operation not in {"info/refs", *GitService}:
        raise NotGitError(403, "The dumb HTTP protocol is not served; use git 1.6.6 or newer.")
    advertise = operation == "info/refs"
    expected = "GET" if advertise else "POST"
    if request.method != expected:
        raise NotGitError(405, f"Use {expected} here.")
    service = _service(request) if advertise else GitService(operation)
    project = match["repository"].removesuffix(".git")
    bare = project == match["repository"]
    redirect = f"/{project}.git/info/refs?service={service}" if advertise and bare else ""
    return _Ask(project_path=project, service=service, advertise=advertise, redirect=redirect)


def _service(request: Request) -> GitService:
    try:
        names = parse_qs(request.url.query, max_num_fields=10).get("service", [])
    except ValueError as error:
        raise NotGitError(400, "The query is too long.") from error
    if not names:
        raise NotGitError(403, "The dumb HTTP protocol is not served; use git 1.6.6 or newer.")
    if len(names) > 1 or names[0] not in set(GitService):
        raise NotGitError(403, "Unknown service: git-upload-pack and git-receive-pack are served.")
    return GitService(names[0])


def _protocol(request: Request, ask: _Ask) -> str:
    asked = request.headers.get("git-protocol", "").strip()
    # Version 2 knows no push: git itself falls back to version 0.
    return "" if ask.service is GitService.RECEIVE_PACK and asked == "version=2" else asked


def _check_content_type(request: Request, ask: _Ask) -> None:
    expected = f"application/x-{ask.service}-request"
    if not ask.advertise and request.headers.get("content-type") != expected:
        raise NotGitError(415, f"A Git request has the content type {expected}.")


def _caller(request: Request, authenticated: Authenticated | None) -> str:
    """Who counts as one: a user, or everybody unknown at one address."""
    if authenticated is not None:
        return f"user {authenticated.user.id}"
    return f"address {request.client.host}" if request.client else "nowhere"


def _password(header: str) -> Secret:
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() != "basic":
        raise UnauthenticatedError
    try:
        decoded = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise UnauthenticatedError from error
    return Secret(decoded.partition(":")[2])


def _refusal(error: Exception) -> tuple[int, str, dict[str, str]]:
    """The one table of this edge: status, text and headers for each failure."""
    match error:
        case NotGitError():
            return error.status, str(error), {}
        case CredentialsNeededError() | UnauthenticatedError():
            return 401, str(CredentialsNeededError()), _REALM
        case AccountBlockedError():
            return 403, "Your account has been blocked.", {}
        case ProjectHiddenError():
            return 404, str(error), {}
        case AccessRefusedError():
            return 403, str(error), {}
        case RequestTooLargeError():
            return 413, str(error), {}
        case BadGitRequestError():
            return 400, str(error), {}
        case GitTimedOutError():
            return 408, str(error), {}
        case BusyError():
            return 503, str(error), _BUSY_RETRY
        case DatabaseUnavailableError():
            # Its text names hosts and files of ours: that is for the log.
            return 503, "The server cannot look that up now; try again in a moment.", _BUSY_RETRY
        case PeerError():
            return 500, str(error), {}
        case _:
            raise error
