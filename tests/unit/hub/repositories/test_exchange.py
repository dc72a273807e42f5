"""Conversations of smart HTTP with the real git, without a socket between."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import pygit2
import pytest

from kasbah.gitrepo import pkt_line
from kasbah.gitrepo.errors import GitFailedError
from kasbah.gitrepo.process import GitCommand, GitService
from kasbah.gitrepo.push_request import RefUpdate
from kasbah.gitrepo.settings import GitSettings
from kasbah.hub.kas_client import GitPushEvent
from kasbah.hub.repositories.client import ClientGoneError, GitClient
from kasbah.hub.repositories.exchange import Fetch, Push, PushRefusedError
from kasbah.hub.repositories.service import PushService
from kasbah.hub.repositories.store import RepositoryStore
from tests.doubles.asgi_client import AsgiClient
from tests.doubles.git_accounts import FakeKasClient, FakeProjects, make_project, make_user

ZERO = "0" * 40


class World:
    """One repository with one commit on main."""

    def __init__(self, root: Path, settings: GitSettings | None = None) -> None:
        self.store = RepositoryStore(root, settings)
        self.kas, self.projects = FakeKasClient(), FakeProjects()
        self.projects.add(make_project())
        self.commit = ""
        self.asked: list[bytes] = []
        self.refused = ""

    async def build(self) -> World:
        await self.store.create(7, "main")
        git = pygit2.Repository(str(self.store.path(7)))
        author = pygit2.Signature("Test", "t@example.com", 1_700_000_000, 0)
        tree = git.TreeBuilder().write()
        self.commit = str(git.create_commit("refs/heads/main", author, author, "first", tree, []))
        return self

    def command(self, service: GitService, **options) -> GitCommand:
        return GitCommand(service=service, repository=self.store.path(7), **options)

    async def fetch(self, asgi: AsgiClient, encoding: str = "") -> None:
        await Fetch(self.store, self.client(asgi), self.command(GitService.UPLOAD_PACK)).serve(encoding)

    async def push(self, asgi: AsgiClient) -> None:
        service = PushService(self.store, self.projects, self.kas)
        command = self.command(GitService.RECEIVE_PACK)
        project = make_project()
        push = Push(
            self.store,
            self.client(asgi),
            command,
            project=project,
            pusher=make_user(),
            service=service,
            admit=self.admit,
        )
        await push.serve("")

    async def admit(self, updates: Sequence[RefUpdate]) -> None:
        self.asked += [update.ref for update in updates]
        if self.refused:
            raise PushRefusedError(self.refused)

    def client(self, asgi: AsgiClient) -> GitClient:
        return GitClient(asgi.receive, asgi.send, idle_s=5)

    def refs(self) -> list[str]:
        return sorted(pygit2.Repository(str(self.store.path(7))).listall_references())

    def update(self, ref: str, old: str = ZERO, capabilities: str = "report-status side-band-64k") -> bytes:
        return pkt_line.encode(f"{old} {self.commit} {ref}\0{capabilities}".encode())


async def make(root: Path, settings: GitSettings | None = None) -> World:
    return await World(root, settings).build()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("protocol", "start"), [("", b"001e# service=git-upload-pack\n0000"), ("version=2", b"000eversion 2\n")]
)
async def test_an_advertisement_begins_as_its_version_wants(tmp_path, protocol, start):
    world, asgi = await make(tmp_path), AsgiClient()
    command = world.command(GitService.UPLOAD_PACK, advertise=True, protocol=protocol)
    await Fetch(world.store, world.client(asgi), command).advertise()
    assert asgi.body.startswith(start)
    assert asgi.headers["content-type"] == "application/x-git-upload-pack-advertisement"
    assert asgi.answered_whole


@pytest.mark.asyncio
@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_a_fetch_is_answered_with_a_pack(tmp_path, encoding):
    world = await make(tmp_path)
    request = f"0032want {world.commit}\n00000009done\n".encode()
    asgi = AsgiClient([gzip.compress(request) if encoding else request])
    await world.fetch(asgi, encoding)
    assert asgi.body.startswith(b"0008NAK\nPACK")
    assert asgi.headers["content-type"] == "application/x-git-upload-pack-result"


@pytest.mark.asyncio
async def test_a_git_that_says_nothing_and_fails_is_an_error(tmp_path):
    world = await make(tmp_path, GitSettings(executable="/bin/false"))
    with pytest.raises(GitFailedError):
        await world.fetch(AsgiClient([b"0000"]))
    with pytest.raises(GitFailedError):
        await world.push(AsgiClient([b"0000"]))


@pytest.mark.asyncio
async def test_a_push_moves_the_ref_and_is_told(tmp_path):
    world = await make(tmp_path)
    asgi = AsgiClient([world.update("refs/heads/new") + pkt_line.FLUSH, empty_pack()])
    await world.push(asgi)
    assert b"ok refs/heads/new" in asgi.body
    assert world.refs() == ["refs/heads/main", "refs/heads/new"]
    assert world.kas.events == [GitPushEvent(project_id=7, full_path="group/sub/app")]


@pytest.mark.asyncio
async def test_a_push_without_a_report_is_told_all_the_same(tmp_path):
    world = await make(tmp_path)
    asgi = AsgiClient([world.update("refs/heads/new", capabilities="atomic") + pkt_line.FLUSH + empty_pack()])
    await world.push(asgi)
    assert (asgi.body, asgi.answered_whole) == (b"", True)
    assert len(world.kas.events) == 1


@pytest.mark.asyncio
async def test_a_push_that_git_refuses_is_not_told(tmp_path):
    world = await make(tmp_path)
    asgi = AsgiClient([world.update("refs/heads/main") + pkt_line.FLUSH, empty_pack()])
    await world.push(asgi)
    assert b"ng refs/heads/main" in asgi.body
    assert world.kas.events == []


@pytest.mark.asyncio
async def test_a_probe_is_answered_with_nothing(tmp_path):
    world, asgi = await make(tmp_path), AsgiClient([b"0000"])
    await world.push(asgi)
    assert (asgi.status, asgi.body, asgi.answered_whole) == (200, b"", True)


@pytest.mark.asyncio
async def test_a_push_beyond_the_limit_of_refs_is_refused_in_gits_own_form(tmp_path):
    world = await make(tmp_path, GitSettings(max_refs=1))
    asgi = AsgiClient([world.update("refs/heads/new") + pkt_line.FLUSH, empty_pack(), b"more"])
    await world.push(asgi)
    assert b"ng refs/heads/new the repository would have more than the limit of 1 refs" in asgi.body
    assert world.refs() == ["refs/heads/main"]
    assert asgi.pieces == []


@pytest.mark.asyncio
async def test_a_client_that_leaves_after_its_push_came_true_is_told_about_all_the_same(tmp_path):
    world = await make(tmp_path)
    whole = world.update("refs/heads/new") + pkt_line.FLUSH + empty_pack()
    with pytest.raises(ClientGoneError):
        await world.push(AsgiClient([whole], hangs_up=True))
    told = [event.project_id for event in world.kas.events]
    assert told == [7] * ("refs/heads/new" in world.refs())


@pytest.mark.asyncio
async def test_a_client_that_leaves_amid_its_pack_changes_nothing(tmp_path):
    world = await make(tmp_path)
    half = world.update("refs/heads/new") + pkt_line.FLUSH + b"PACK"
    with pytest.raises(ClientGoneError):
        await world.push(AsgiClient([half], complete=False, hangs_up=True))
    assert world.refs() == ["refs/heads/main"]
    assert list(world.store.path(7).glob("objects/tmp_*")) == []


def empty_pack() -> bytes:
    """A pack of no objects: the commit is there already."""
    return bytes.fromhex("5041434b0000000200000000029d08823bd8a8eab510ad6ac75c823cfd3ed31e")


@pytest.mark.asyncio
async def test_a_push_to_what_is_protected_is_refused_whole_before_git_hears_it(tmp_path):
    world = await make(tmp_path)
    world.refused = "You are not allowed to push code to protected branches on this project."
    second = pkt_line.encode(f"{ZERO} {world.commit} refs/heads/two".encode())
    asgi = AsgiClient([world.update("refs/heads/one") + second + pkt_line.FLUSH, empty_pack()])
    await world.push(asgi)
    assert world.asked == [b"refs/heads/one", b"refs/heads/two"]
    assert asgi.body.count(b"protected branches") == 4  # for people, for the pack, and for each ref
    assert world.refs() == ["refs/heads/main"]
    assert world.kas.events == []
