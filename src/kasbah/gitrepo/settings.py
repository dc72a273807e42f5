"""How much one repository, push or clone may cost us."""

from __future__ import annotations

from dataclasses import dataclass

from kasbah.errors import UserError

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSettings:
    """The limits of Git hosting; each ends in an answer that names it."""

    executable: str = "git"
    """The git that serves; a bare name is looked for in the system's usual places, not in our PATH."""
    max_push_bytes: int = 200 * MIB
    """The largest pack of one push."""
    max_refs: int = 50_000
    """The most refs of one repository, and of one push: each ref is a line in every advertisement."""
    max_request_bytes: int = 64 * MIB
    """The largest request of a clone or fetch, after inflating: a list of wants and haves."""
    max_processes: int = 32
    """The most git processes serving at once; further requests wait, then are told to come back."""
    max_processes_per_caller: int = 16
    """The same for one user, or for everybody unknown at one address."""
    queue_s: float = 30
    """How long a request waits for its turn."""
    wall_s: float = 1800
    """The longest a clone, fetch or push may take."""
    idle_s: float = 60
    """How long a client may keep us waiting for its next bytes, or for taking ours."""
    cpu_s: int = 600
    """The processor time of one git process."""
    memory_bytes: int = 1024 * MIB
    """The private memory of one git process: what a pack of tiny deltas may blow up to."""

    def __post_init__(self) -> None:
        for name in (
            "max_push_bytes",
            "max_refs",
            "max_request_bytes",
            "max_processes",
            "cpu_s",
            "memory_bytes",
        ):
            if getattr(self, name) < 1:
                raise UserError(f"git setting {name} must be 1 or more, not {getattr(self, name)}")
