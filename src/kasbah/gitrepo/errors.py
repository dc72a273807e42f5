"""What can go wrong with a repository, by whose fault it was."""

from __future__ import annotations

from kasbah.errors import PeerError, UserError


class BadGitRequestError(UserError):
    """The bytes of a Git request break the protocol."""


class RequestTooLargeError(UserError):
    """A Git request is larger than we take."""


class CommitNotFoundError(UserError):
    """The repository has no such commit."""


class FileNotFoundInCommitError(UserError):
    """The commit has no file of that path."""


class NotRegularFileError(UserError):
    """The path is a symbolic link, a submodule or a directory, or leads through one that is no directory."""


class FileTooLargeError(UserError):
    """The file is larger than the caller takes."""


class TooManyFilesError(UserError):
    """There are more files than one list holds."""


class GitFailedError(PeerError):
    """git itself failed: a broken repository, a full disk, or it ran out of a limit."""


class GitTimedOutError(PeerError):
    """git, or its client, took longer than we grant."""
