"""Clients that lie, leave, overdo it or take all day; and a disk without room."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kasbah.gitrepo.settings import GitSettings
from tests.integration.repositories.conftest import basic, git_children, http_get, http_post, post_head

INFO = "/group/sub/app.git/info/refs"
UPLOAD = "/group/sub/app.git/git-upload-pack"
RECEIVE = "/group/sub/app.git/git-receive-pack"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"{INFO}", 403),
        (f"{INFO}?service=git-foo", 403),
        (f"{INFO}?service=git-upload-pack&service=git-receive-pack", 403),
        (f"{INFO}?service=--exec=id", 403),
        (f"{INFO}?{'&'.join('abcdefghijkl')}", 400),
        ("/group/sub/app.git/HEAD", 403),
        ("/group/sub/app.git/objects/info/packs", 403),
        ("/group/sub/app.git/config", 404),
        ("/group/../sub/app.git/info/refs?service=git-upload-pack", 404),
        ("/group%2fsub/app.git/info/refs?service=git-upload-pack", 404),
        ("/group/sub/app.git/%69nfo/refs?service=git-upload-pack", 404),
        ("/-group/app.git/info/refs?service=git-upload-pack", 404),
        ("/group//sub/app.git/info/refs?service=git-upload-pack", 404),
        (f"/{'a/' * 5000}app.git/info/refs?service=git-upload-pack", 404),
        (UPLOAD, 405),
        ("/", 404),
    ],
)
async def test_requests_that_are_not_ours_end_before_git_starts(host, target, status):
    async with host() as hosting:
        answer = await http_get(hosting, target, owner=True)
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "content-type: text/plain" in answer


@pytest.mark.asyncio
async def test_a_foreign_content_type_is_refused(host):
    async with host() as hosting:
        answer = await http_post(hosting, UPLOAD, b"0000", content_type="text/html")
    assert answer.startswith(b"HTTP/1.1 415 ")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("credentials", "status"),
    [("Basic !!!", 401), ("Bearer glpat-owner", 401), ("Basic " + "A" * 20000, 401)],
)
async def test_credentials_of_the_wrong_shape_are_unknown_credentials(host, credentials, status):
    async with host() as hosting:
        answer = await http_get(hosting, f"{INFO}?service=git-upload-pack", authorization=credentials)
    assert answer.startswith(f"HTTP/1.1 {status} ")


@pytest.mark.asyncio
async def test_a_request_that_inflates_without_end_is_cut(host):
    async with host(GitSettings(max_request_bytes=1 << 20)) as hosting:
        bomb = gzip.compress((b"0035shallow " + b"1" * 40 + b"\n") * (1 << 20))
        answer = await http_post(hosting, UPLOAD, bomb, encoding="gzip")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"inflates to more than 1048576 bytes" in answer


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"0000", mtime=0)[:-4], "gzip", 400),
        (b"0000", "br", 400),
    ],
)
async def test_a_body_that_is_not_what_its_encoding_says_is_refused(host, body, encoding, status):
    async with host() as hosting:
        answer = await http_post(hosting, UPLOAD, body, encoding=encoding)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.asyncio
async def test_a_gzipped_fetch_is_answered(host, git):
    async with host() as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        commit = (await git("rev-parse", "HEAD", cwd=work)).strip()
        request = f"0032want {commit}\n00000009done\n".encode()
        answer = await http_post(hosting, UPLOAD, gzip.compress(request), encoding="gzip")
    assert b"0008NAK\n" in answer
    assert b"PACK" in answer


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"zzzz", b"0003", b"ffff" + b"x" * 70000, b"0010not an update", b"0001"])
async def test_a_push_that_is_no_push_is_refused_and_changes_nothing(host, body):
    async with host() as hosting:
        answer = await http_post(hosting, RECEIVE, body)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert not list(hosting.repository.glob("objects/*/*"))


@pytest.mark.asyncio
async def test_a_push_over_the_size_limit_says_so_and_leaves_nothing(host, git):
    async with host(GitSettings(max_push_bytes=1 << 20)) as hosting:
        work = await git.make_work()
        await git.commit(work, "big", os.urandom(8 << 20))
        code, output = await git.try_run("push", hosting.url(), "main", cwd=work)
        assert code == 1
        assert "pack exceeds maximum allowed size" in output
        assert not list(hosting.repository.glob("objects/*/*"))
        assert hosting.kas.events == []


@pytest.mark.asyncio
async def test_a_push_far_over_the_size_limit_is_refused_by_us(host, git):
    async with host(GitSettings(max_push_bytes=1 << 20)) as hosting:
        work = await git.make_work()
        await git.commit(work, "big", os.urandom(40 << 20))
        code, _ = await git.try_run("push", hosting.url(), "main", cwd=work)
        assert code != 0
        assert not list(hosting.repository.glob("objects/*/*"))


@pytest.mark.asyncio
async def test_more_refs_than_allowed_are_refused_with_the_reason(host, git):
    async with host(GitSettings(max_refs=3)) as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", "main:a", cwd=work)
        code, output = await git.try_run("push", hosting.url(), "main:b", "main:c", cwd=work)
        assert code == 1
        assert "remote: the repository would have more than the limit of 3 refs" in output
        code, output = await git.try_run("push", hosting.url(), *(f"main:x{n}" for n in range(9)), cwd=work)
        assert "one push may update at most 3 refs" in output
        assert len((await git("ls-remote", "--heads", hosting.url())).splitlines()) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "branch", ["refs/heads/--exec=id", "refs/heads/a;id", "refs/heads/$(id)", "refs/heads/<b>"]
)
async def test_strange_names_of_branches_are_only_names(host, git, branch):
    async with host() as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", f"main:{branch}", cwd=work)
        assert branch in await git("ls-remote", hosting.url())
        await git("push", "-q", hosting.url(), f":{branch}", cwd=work)
        assert branch not in await git("ls-remote", hosting.url())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "ref", ["refs/replace/" + "1" * 40, "refs/keep-around/x", "refs/merge-requests/1/head"]
)
async def test_hidden_refs_take_no_push(host, git, ref):
    async with host() as hosting:
        work = await git.make_work()
        code, output = await git.try_run("push", hosting.url(), f"main:{ref}", cwd=work)
    assert code == 1
    assert "deny updating a hidden ref" in output


@pytest.mark.asyncio
@pytest.mark.parametrize("name", [".git", ".GIT", "..", "git~1"])
async def test_hostile_trees_are_refused(host, git, name):
    async with host() as hosting:
        work = await git.make_work()
        commit = await make_hostile_commit(git, work, name)
        code, output = await git.try_run("push", hosting.url(), f"{commit}:refs/heads/main", cwd=work)
        assert code == 1
        assert "fsck error" in output
        assert not list(hosting.repository.glob("objects/*/*"))


async def make_hostile_commit(git, work: Path, name: str) -> str:
    blob = (await git("rev-parse", "HEAD:README.md", cwd=work)).strip()
    entry = b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob)
    (work / "tree").write_bytes(entry)
    tree = (await git("hash-object", "-t", "tree", "-w", "--literally", "tree", cwd=work)).strip()
    return (await git("commit-tree", "-m", "hostile", tree, cwd=work)).strip()


@pytest.mark.asyncio
async def test_a_client_that_leaves_amid_a_push_leaves_no_process_and_no_file(host):
    async with host() as hosting:
        async with hosting.half_sent_push():
            assert len(git_children()) >= 1
        await nothing_left(hosting)


@pytest.mark.asyncio
async def test_a_client_that_stops_sending_is_cut_off(host):
    async with host(GitSettings(idle_s=0.2)) as hosting:
        async with hosting.half_sent_push() as reader:
            assert b" 408 " in await reader.readline()
        await nothing_left(hosting)


@pytest.mark.asyncio
async def test_a_push_that_takes_too_long_is_stopped(host):
    async with host(GitSettings(wall_s=0.3)) as hosting:
        async with hosting.half_sent_push() as reader:
            assert b" 408 " in await reader.readline()
        await nothing_left(hosting)


@pytest.mark.asyncio
async def test_a_client_that_does_not_take_its_clone_is_cut_off(host, git):
    async with host(GitSettings(idle_s=0.3)) as hosting:
        work = await git.make_work()
        await git.commit(work, "big", os.urandom(48 << 20))
        commit = (await git("rev-parse", "HEAD", cwd=work)).strip()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        request = f"0032want {commit}\n00000009done\n".encode()
        reader, writer = await hosting.open_post(UPLOAD, request)
        await asyncio.sleep(1.0)
        await nothing_left(hosting)
        writer.close()
        assert reader


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount a small file system")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.asyncio
async def test_a_full_disk_refuses_the_push_and_gives_its_room_back(host, git, small_disk):
    async with host(root=small_disk / "repositories") as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        before = (await git("ls-remote", hosting.url()), _free(small_disk))
        await git.commit(work, "big", os.urandom(8 << 20))
        code, output = await git.try_run("push", hosting.url(), "main", cwd=work)
        assert code == 1
        assert "No space left on device" in output
        assert (await git("ls-remote", hosting.url()), _free(small_disk)) == before
        await git("push", "-q", hosting.url(), "main~1:refs/heads/after", cwd=work)


def _free(disk: Path) -> int:
    return os.statvfs(disk).f_bfree


async def nothing_left(hosting) -> None:
    """No git runs, no quarantine lies about; within the two seconds that a polite end may take."""
    async with asyncio.timeout(5):
        while left_over(hosting):  # noqa: ASYNC110 - processes and files tell nobody
            await asyncio.sleep(0.02)


def left_over(hosting) -> list[object]:
    return [*git_children(), *hosting.repository.glob("objects/tmp_*")]


@pytest.mark.asyncio
@pytest.mark.parametrize(("token", "first"), [("glpat-owner", b" 100 "), ("glpat-wrong", b" 401 ")])
async def test_a_client_that_asks_first_sends_its_push_only_when_it_may(host, token, first):
    async with host() as hosting:
        head = post_head(RECEIVE, 4, credentials=basic(token), expect=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", hosting.port)
        writer.write(head)
        assert first in await reader.readline()
        writer.close()


@pytest.mark.asyncio
async def test_a_token_of_a_megabyte_is_refused(host):
    async with host() as hosting:
        answer = await http_get(
            hosting, f"{INFO}?service=git-upload-pack", authorization="Basic " + "A" * (1 << 20)
        )
    assert answer[:12] in {"", "HTTP/1.1 431", "HTTP/1.1 401"}


@pytest.mark.asyncio
async def test_twenty_clients_that_leave_amid_their_clones_leave_nothing(host, git):
    async with host() as hosting:
        work = await git.make_work()
        await git.commit(work, "big", os.urandom(8 << 20))
        commit = (await git("rev-parse", "HEAD", cwd=work)).strip()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        request = f"0032want {commit}\n00000009done\n".encode()
        for _ in range(20):
            reader, writer = await hosting.open_post(UPLOAD, request)
            await reader.readline()
            writer.close()
        await nothing_left(hosting)
