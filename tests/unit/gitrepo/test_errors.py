"""Whose fault each failure is: it decides between a client's status and ours."""

from __future__ import annotations

import pytest

from kasbah.errors import PeerError, UserError
from kasbah.gitrepo import errors


@pytest.mark.parametrize(
    "error",
    [
        errors.BadGitRequestError,
        errors.RequestTooLargeError,
        errors.CommitNotFoundError,
        errors.FileNotFoundInCommitError,
        errors.NotRegularFileError,
        errors.FileTooLargeError,
    ],
)
def test_what_a_client_asked_is_the_clients(error):
    assert issubclass(error, UserError)


@pytest.mark.parametrize("error", [errors.GitFailedError, errors.GitTimedOutError])
def test_what_git_did_is_not_the_clients(error):
    assert issubclass(error, PeerError)
