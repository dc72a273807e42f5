"""The border around what one request does when others call it: a bug in it breaks that one off, and nothing else.

Its callers serve many at once: a tunnel's connection, the line for tunnels, the keepers of leases, records and watches.
What passes a border for every piece of data says the same in its own words, and saves the call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Guarded(Protocol):
    """Has callbacks that must not raise."""

    def crashed(self) -> None:
        """One did, and its exception is being handled: say so in the log, and break off whatever this is."""


_Who = TypeVar("_Who", bound=Guarded)
_Said = ParamSpec("_Said")


def guarded(callback: Callable[Concatenate[_Who, _Said], None]) -> Callable[Concatenate[_Who, _Said], None]:
    """This callback, which does not raise any more."""

    @functools.wraps(callback)
    def call(who: _Who, /, *args: _Said.args, **kwargs: _Said.kwargs) -> None:
        try:
            callback(who, *args, **kwargs)
        except Exception:  # noqa: BLE001 - whatever a bug raises
            who.crashed()

    return call
