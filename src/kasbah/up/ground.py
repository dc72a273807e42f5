"""What `kasbah up` takes for itself before it serves: its addresses and its directory.

Addresses are taken before anything is written, so a start that cannot succeed changes nothing.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from kasbah.errors import PeerError, UserError
from kasbah.kit import private_file
from kasbah.kit.listening import Address, Bound, bound
from kasbah.up.flags import UpSettings

_log = structlog.get_logger()
OBSERVABILITY_DEFAULT: Final = Address(host="127.0.0.1", port=8151)
"""GitLab's kas listens there, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Those of the settings, bound."""

    http: Bound
    https: Bound
    grpc: Bound
    observability: Bound | None


@contextmanager
def bind(settings: UpSettings) -> Iterator[Addresses]:
    """Hold all addresses until the end.

    Raises:
        PeerError: one is taken, or this machine does not have it; the text names the flag.
    """
    with ExitStack() as stack:

        def take(flag: str, address: Address) -> Bound:
            try:
                return stack.enter_context(bound(address))
            except OSError as error:
                why = (error.strerror or str(error)).partition(" (")[0]
                raise PeerError(
                    f"{flag} {address}: {why}; stop what listens there, or give another HOST:PORT"
                ) from error

        yield Addresses(
            http=take("--http", settings.http),
            https=take("--https", settings.https),
            grpc=take("--grpc", settings.grpc),
            observability=take("--observability", settings.observability)
            if settings.observability
            else _default_observability(stack),
        )


def _default_observability(stack: ExitStack) -> Bound | None:
    """The default address, which a second process on this machine does without."""
    try:
        return stack.enter_context(bound(OBSERVABILITY_DEFAULT))
    except OSError:
        _log.warning("observability address is taken, going on without", address=str(OBSERVABILITY_DEFAULT))
        return None


@contextmanager
def own(data: Path) -> Iterator[None]:
    """Make the directory and keep every other process out of it.

    Raises:
        UserError: it cannot be written, or another process has it.
    """
    try:
        private_file.make_directory(data)
        lock = (data / "lock").open("w")
    except OSError as error:
        raise UserError(
            f"--data {data} cannot be written: {error.strerror}; give another directory"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another `kasbah up` uses {data}; stop it, or give another --data") from error
        yield
