"""What people do with git, against the real server."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from kasbah.gitrepo import pkt_line
from kasbah.hub.kas_client import GitPushEvent
from tests.integration.repositories.conftest import PROJECT, http_get, http_post


@pytest.mark.asyncio
async def test_a_pushed_branch_is_cloned_back(host, git):
    async with host() as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        await git("clone", "-q", hosting.url(), "copy")
        assert (git.home / "copy/README.md").read_bytes() == b"hello\n"
        assert hosting.kas.events == [GitPushEvent(project_id=PROJECT, full_path="group/sub/app")]
        assert hosting.projects.touched == [PROJECT]


@pytest.mark.asyncio
async def test_an_empty_repository_is_cloned(host, git):
    async with host() as hosting:
        output = await git("clone", hosting.url(), "copy")
        assert "empty repository" in output


@pytest.mark.asyncio
@pytest.mark.parametrize("version", ["0", "1", "2"])
async def test_every_protocol_version_fetches(host, git, version):
    async with host() as hosting:
        work = await git.make_work()
        await git("-c", f"protocol.version={version}", "push", "-q", hosting.url(), "main", cwd=work)
        await git("-c", f"protocol.version={version}", "clone", "-q", hosting.url(), "copy")
        assert (git.home / "copy/README.md").exists()


@pytest.mark.asyncio
async def test_the_advertisement_of_version_2_has_no_refs(host, git):
    async with host() as hosting:
        trace = await git.trace_packets("ls-remote", hosting.url())
        assert "git< version 2" in trace


@pytest.mark.asyncio
async def test_shallow_and_partial_clones_leave_things_out(host, git):
    async with host() as hosting:
        work = await git.make_work()
        for number in range(5):
            await git.commit(work, "file", b"%d" % number)
        await git("push", "-q", hosting.url(), "main", cwd=work)
        await git("clone", "-q", "--depth=1", hosting.url(), "shallow")
        assert (await git("rev-list", "--count", "HEAD", cwd=git.home / "shallow")).strip() == "1"
        await git("clone", "-q", "--filter=blob:none", "--no-checkout", hosting.url(), "partial")
        missing = await git("rev-list", "--objects", "--all", "--missing=print", cwd=git.home / "partial")
        assert missing.count("?") == 6
        await git("fetch", "-q", "--unshallow", cwd=git.home / "shallow")
        assert (await git("rev-list", "--count", "HEAD", cwd=git.home / "shallow")).strip() == "6"


@pytest.mark.asyncio
async def test_an_old_commit_is_fetched_by_its_id_with_version_0(host, git):
    async with host() as hosting:
        work = await git.make_work()
        first = (await git("rev-parse", "HEAD", cwd=work)).strip()
        await git.commit(work, "file", b"more")
        await git("push", "-q", hosting.url(), "main", cwd=work)
        await git("init", "-q", "copy")
        await git("-c", "protocol.version=0", "fetch", "-q", hosting.url(), first, cwd=git.home / "copy")


@pytest.mark.asyncio
async def test_a_large_push_arrives_in_chunks_and_whole(host, git):
    async with host() as hosting:
        work = await git.make_work()
        content = os.urandom(64 << 20)
        await git.commit(work, "big.bin", content)
        await git("push", "-q", hosting.url(), "main", cwd=work)
        await git("clone", "-q", hosting.url(), "copy")
        copied = hashlib.sha256((git.home / "copy/big.bin").read_bytes()).digest()
        assert copied == hashlib.sha256(content).digest()


@pytest.mark.asyncio
async def test_branches_and_tags_are_made_moved_and_deleted(host, git):
    async with host() as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", "main:feature/a", "main:refs/tags/v1", cwd=work)
        await git("push", "-q", hosting.url(), ":feature/a", cwd=work)
        refs = await git("ls-remote", hosting.url())
        assert [line.split("\t")[1] for line in refs.splitlines()] == [
            "HEAD",
            "refs/heads/main",
            "refs/tags/v1",
        ]


@pytest.mark.asyncio
async def test_pushes_at_the_same_moment_to_different_branches_all_arrive(host, git):
    async with host() as hosting:
        work = await git.make_work()
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(git("push", "-q", hosting.url(), f"main:branch-{number}", cwd=work))
        assert len((await git("ls-remote", "--heads", hosting.url())).splitlines()) == 8


@pytest.mark.asyncio
async def test_of_pushes_at_the_same_moment_to_one_branch_one_wins(host, git):
    async with host() as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        clones = [await _clone_with_commit(hosting, git, number) for number in range(4)]
        async with asyncio.TaskGroup() as group:
            pushes = [
                group.create_task(git.try_run("push", "-q", "origin", "main", cwd=copy)) for copy, _ in clones
            ]
        winners = [commit for push, (_, commit) in zip(pushes, clones, strict=True) if push.result()[0] == 0]
        assert len(winners) == 1
        assert winners[0] in await git("ls-remote", hosting.url())


@pytest.mark.asyncio
async def test_a_push_that_does_not_fast_forward_is_refused(host, git):
    async with host() as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        other = await git.make_work("other")
        await git("commit", "-q", "--amend", "-m", "another root", cwd=other)
        code, output = await git.try_run("push", hosting.url(), "main", cwd=other)
        assert code == 1
        assert "rejected" in output
        assert len(hosting.kas.events) == 1


@pytest.mark.asyncio
async def test_the_first_push_decides_the_default_branch(host, git):
    async with host() as hosting:
        work = await git.make_work(branch="trunk")
        await git("push", "-q", hosting.url(), "trunk", cwd=work)
        head = await hosting.store.head(PROJECT)
        assert head.default_branch == "trunk"
        assert head.commit_id == (await git("rev-parse", "HEAD", cwd=work)).strip()


@pytest.mark.asyncio
async def test_the_default_branch_cannot_be_deleted(host, git):
    async with host() as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        code, output = await git.try_run("push", hosting.url(), ":main", cwd=work)
        assert code == 1
        assert "deletion of the current branch prohibited" in output


@pytest.mark.asyncio
async def test_a_push_stands_although_kas_is_away(host, git):
    async with host() as hosting:
        hosting.kas.away = True
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        assert (await hosting.store.head(PROJECT)).commit_id is not None


@pytest.mark.asyncio
async def test_an_address_without_git_at_its_end_works_too(host, git):
    async with host() as hosting:
        url = hosting.url(path="group/sub/app")
        work = await git.make_work()
        await git("push", "-q", url, "main", cwd=work)
        output = await git("clone", url, "copy")
        assert "redirecting" in output


@pytest.mark.asyncio
async def test_an_atomic_push_is_all_or_nothing(host, git):
    async with host() as hosting:
        work = await git.make_work()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        await git("commit", "-q", "--amend", "-m", "rewritten", cwd=work)
        code, _ = await git.try_run("push", "--atomic", hosting.url(), "main", "main:new", cwd=work)
        assert code == 1
        assert "refs/heads/new" not in await git("ls-remote", hosting.url())


async def _clone_with_commit(hosting, git, number: int) -> tuple[Path, str]:
    copy = git.home / f"copy-{number}"
    await git("clone", "-q", hosting.url(), str(copy))
    return copy, await git.commit(copy, f"file-{number}", b"%d" % number)


@pytest.mark.asyncio
async def test_the_very_bytes_of_fluxs_client_are_answered(host, git):
    """go-git speaks version 0 only, sends credentials at once, and never offers thin-pack."""
    async with host() as hosting:
        work = await git.make_work()
        await git.commit(work, "file", b"second")
        commit = (await git("rev-parse", "HEAD", cwd=work)).strip()
        await git("push", "-q", hosting.url(), "main", cwd=work)
        listing = await http_get(hosting, "/group/sub/app.git/info/refs?service=git-upload-pack", owner=True)
        assert f"{commit} refs/heads/main\n" in listing
        assert " shallow " in listing
        capabilities = "multi_ack_detailed side-band-64k ofs-delta agent=go-git/5.x shallow no-progress"
        lines = [f"want {commit} {capabilities}\n", "deepen 1"]
        wants = b"".join(pkt_line.encode(line.encode()) for line in lines)
        request = wants + pkt_line.FLUSH + pkt_line.encode(b"done\n")
        answer = await http_post(hosting, "/group/sub/app.git/git-upload-pack", request)
    assert f"shallow {commit}".encode() in answer
    assert b"0008NAK\n" in answer
    # One commit, one tree, two files: self-contained.
    assert pack_in(answer).startswith(b"PACK\0\0\0\x02\0\0\0\x04")


def pack_in(answer: bytes) -> bytes:
    """What the first band of a chunked answer carries, however git has cut it into packets."""
    head, _, chunked = answer.partition(b"\r\n\r\n")
    assert b"chunked" in head
    reader = pkt_line.PktLineReader()
    while chunked[:1] != b"0":
        size, _, rest = chunked.partition(b"\r\n")
        reader.feed(rest[: int(size, 16)])
        chunked = rest[int(size, 16) + 2 :]
    packets = iter(reader.next_packet, None)
    return b"".join(packet[1:] for packet in packets if isinstance(packet, bytes) and packet[:1] == b"\x01")
