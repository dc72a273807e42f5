"""What can go wrong when kas asks the Git side.

Callers map the classes to their own edge: gRPC statuses, Kubernetes Status objects. Only `HubUnavailableError`
may heal by itself.
"""

from __future__ import annotations

from kasbah.errors import PeerError


class HubError(PeerError):
    """The Git side did not do what kas asked.

    Attributes:
        status: of its answer; 0 when there was none, or it was not that.
        reason: for the person who asked, where the Git side says that they may know.
    """

    status = 0
    reason = ""


class AgentNotAllowedError(HubError):
    """The Git side knows the CI job and does not allow it this agent."""


class HubUnauthenticatedError(HubError):
    """The Git side does not know the credential, or no longer."""


class HubForbiddenError(HubError):
    """The Git side knows the credential and does not allow this."""


class HubNotFoundError(HubError):
    """The Git side has no such agent or project."""


class RefNotFoundError(HubNotFoundError):
    """The project has no such branch, tag or commit."""


class HubUnavailableError(HubError):
    """The Git side is away, or too slow, or failed; later it may answer."""

    def __init__(self, message: str = "", *, status: int = 0) -> None:
        super().__init__(message, retryable=True)
        self.status = status


class HubContractError(HubError):
    """The Git side answered something that kas does not understand, so nothing is allowed by it."""


class NoRepositoryRoutesError(HubContractError):
    """The Git side is a GitLab, whose repositories are Gitaly's; kas reads them from Kasbah's hub only."""


class TooManyFilesError(HubError):
    """There are more files than the Git side lists."""


class FileTooLargeError(HubError):
    """The file is larger than the caller takes."""


class NotARegularFileError(HubError):
    """The path is a folder, a symbolic link or a submodule."""
