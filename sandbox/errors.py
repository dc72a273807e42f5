"""What can go wrong in the sandbox: the machine lacks something, or a part of the cluster failed."""

from __future__ import annotations

from kasbah.errors import PeerError, UserError


class CannotRunError(UserError):
    """This machine lacks something the sandbox needs; the text names what to install."""


class SandboxError(PeerError):
    """A part of the sandbox's cluster failed; the text ends with its last words."""
