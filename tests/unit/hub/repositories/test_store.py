"""Where repositories lie."""

from __future__ import annotations

from pathlib import Path

import pygit2
import pytest

from kasbah.gitrepo.errors import GitFailedError
from kasbah.hub.errors import RepositoryUnavailableError
from kasbah.hub.repositories.store import RepositoryStore


@pytest.fixture
def store(tmp_path) -> RepositoryStore:
    return RepositoryStore(tmp_path / "repositories")


def commit_to(path: Path, *refs: str) -> str:
    git = pygit2.Repository(str(path))
    author = pygit2.Signature("Test", "t@example.com", 1_700_000_000, 0)
    tree = git.TreeBuilder()
    tree.insert("file", git.create_blob(b"content"), pygit2.enums.FileMode.BLOB)
    commit = git.create_commit(None, author, author, "first", tree.write(), [])
    for ref in refs:
        git.create_reference(ref, commit)
    return str(commit)


def test_a_path_is_made_of_the_number_alone(store, tmp_path):
    assert store.path(7) == tmp_path / "repositories/007/7.git"
    assert store.path(123456) == tmp_path / "repositories/456/123456.git"


@pytest.mark.asyncio
async def test_a_repository_is_made_read_and_deleted(store):
    await store.create(7, "main")
    commit = commit_to(store.path(7), "refs/heads/main")
    head = await store.head(7)
    assert (head.default_branch, head.commit_id) == ("main", commit)
    assert await store.read_file(7, commit, "file", max_bytes=100) == b"content"
    assert await store.count_refs(7) == 1
    await store.delete(7)
    assert not store.path(7).exists()


@pytest.mark.asyncio
async def test_a_disk_that_refuses_is_told_as_unavailable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RepositoryUnavailableError):
        await RepositoryStore(tmp_path / "file").create(7, "main")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("branches", "chosen"),
    [
        (["trunk"], "trunk"),
        (["a", "master"], "master"),
        (["z", "b"], "b"),
        (["a", "main"], "main"),
        (["--exec=id"], None),
        ([], None),
    ],
)
async def test_the_default_branch_is_chosen_among_what_was_pushed(store, branches, chosen):
    await store.create(7, "main")
    refs = [f"refs/heads/{branch}" for branch in branches]
    commit_to(store.path(7), *refs, "refs/heads/before", "refs/tags/a")
    pushed = [*map(str.encode, refs), b"refs/heads/deleted", b"refs/tags/a", b"refs/heads/\xff"]
    assert await store.choose_default_branch(7, pushed) == chosen


@pytest.mark.asyncio
async def test_head_is_pointed_elsewhere_or_the_push_hears_of_it(store):
    await store.create(7, "main")
    await store.set_default_branch(7, "trunk")
    assert (await store.head(7)).default_branch == "trunk"
    await store.delete(7)
    with pytest.raises(GitFailedError, match="default branch could not be set"):
        await store.set_default_branch(7, "trunk")


@pytest.mark.asyncio
async def test_syncing_what_is_no_directory_promises_nothing(store):
    await store.create(7, "main")
    (store.path(7) / "objects/pack").rmdir()
    (store.path(7) / "objects/pack").touch()
    with pytest.raises(GitFailedError, match="nothing is promised"):
        await store.sync_push(7, [b"refs/heads/main"])


@pytest.mark.asyncio
async def test_refs_are_resolved(store):
    await store.create(7, "main")
    commit = commit_to(store.path(7), "refs/heads/main")
    assert await store.resolve(7, [b"refs/heads/main", b"refs/heads/x"]) == {b"refs/heads/main": commit}


@pytest.mark.asyncio
async def test_left_overs_are_swept_and_repositories_kept(store):
    await store.create(7, "main")
    (store.path(7).parent / "8.git.abc.draft").mkdir()
    lock = store.path(7) / "HEAD.lock"
    lock.touch()
    await store.sweep()
    await store.remove_stale(7)
    assert [path.name for path in store.path(7).parent.iterdir()] == ["7.git"]
    assert lock.exists()
