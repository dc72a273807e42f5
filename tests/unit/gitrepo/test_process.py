"""The command lines and environments of git; running it is tested with the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kasbah.gitrepo.process import GitCommand, GitService
from kasbah.gitrepo.settings import GitSettings

REPOSITORY = Path("/srv/7.git")


@pytest.mark.parametrize(
    ("service", "advertise", "arguments"),
    [
        (GitService.UPLOAD_PACK, False, "upload-pack --strict --stateless-rpc /srv/7.git"),
        (GitService.UPLOAD_PACK, True, "upload-pack --strict --stateless-rpc --advertise-refs /srv/7.git"),
        (GitService.RECEIVE_PACK, False, "receive-pack --stateless-rpc /srv/7.git"),
        (GitService.RECEIVE_PACK, True, "receive-pack --stateless-rpc --advertise-refs /srv/7.git"),
    ],
)
def test_nothing_that_a_client_says_is_an_argument(service, advertise, arguments):
    command = GitCommand(service=service, repository=REPOSITORY, advertise=advertise, protocol="version=2")
    assert command.arguments("git") == ["git", *arguments.split()]


@pytest.mark.parametrize("protocol", ["version=0", "version=1", "version=2"])
def test_known_protocol_versions_reach_git(protocol):
    command = GitCommand(service=GitService.UPLOAD_PACK, repository=REPOSITORY, protocol=protocol)
    assert command.environment(GitSettings())["GIT_PROTOCOL"] == protocol


@pytest.mark.parametrize("protocol", ["version=3", "version=2:x=y", "a\nb", "version=2 ", ""])
def test_anything_else_counts_as_absent(protocol):
    command = GitCommand(service=GitService.UPLOAD_PACK, repository=REPOSITORY, protocol=protocol)
    assert "GIT_PROTOCOL" not in command.environment(GitSettings())
