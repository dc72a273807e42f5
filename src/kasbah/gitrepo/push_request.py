"""What a push asks for: the ref updates at the head of a receive-pack request (gitprotocol-pack, "Reference Update
Request").

Pure. The parser watches the request's bytes on their way to git, reports the updates once they are complete, and
looks at nothing after them: the pack is git's affair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kasbah.gitrepo import pkt_line
from kasbah.gitrepo.errors import BadGitRequestError, RequestTooLargeError
from kasbah.gitrepo.pkt_line import Marker, Packet, PktLineReader

MAX_REF_BYTES: Final = 1024
"""Far more than people type; the names are also paths, and those end at 4,096 bytes."""
_UPDATE = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) ([^\0]+)", re.DOTALL)
_SHALLOW = re.compile(rb"shallow (?:[0-9a-f]{40}|[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefUpdate:
    """One ref, as the client wants it to become; git decides whether it does."""

    ref: bytes
    """The full name, as sent: any bytes but NUL, so never put it on a command line or into a path unchecked."""
    old: str
    new: str

    @property
    def creates(self) -> bool:
        return not self.old.strip("0")

    @property
    def deletes(self) -> bool:
        return not self.new.strip("0")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRequest:
    updates: tuple[RefUpdate, ...]
    capabilities: frozenset[bytes]

    @property
    def side_band(self) -> bool:
        """Whether the answer travels in bands, beside progress."""
        return b"side-band-64k" in self.capabilities

    @property
    def wants_report(self) -> bool:
        return not self.capabilities.isdisjoint({b"report-status", b"report-status-v2"})


class PushRequestParser:
    """Finds the updates in a stream of bytes."""

    def __init__(self, *, max_updates: int, max_bytes: int) -> None:
        self._reader = PktLineReader()
        self._max_updates = max_updates
        self._bytes_left = max_bytes
        self._updates: list[RefUpdate] = []
        self._capabilities: frozenset[bytes] = frozenset()
        self._complete = False

    def feed(self, data: bytes) -> PushRequest | None:
        """The request, exactly once: when its last byte was in `data`.

        Raises:
            BadGitRequestError: this is no list of updates.
            RequestTooLargeError: more updates than allowed, or they never end.
        """
        if self._complete:
            return None
        self._reader.feed(data)
        while (packet := self._reader.next_packet()) is not None:
            if packet is Marker.FLUSH:
                self._complete = True
                self._reader = PktLineReader()  # lets go of the piece of the pack that came along
                return self.so_far
            self._take(packet)
        return None

    @property
    def so_far(self) -> PushRequest:
        """The updates understood by now: enough to refuse the rest in the form the client asked for."""
        return PushRequest(updates=tuple(self._updates), capabilities=self._capabilities)

    def _take(self, packet: Packet) -> None:
        if isinstance(packet, Marker):
            raise BadGitRequestError("a push is a list of ref updates, ended by a flush packet")
        self._bytes_left -= len(packet) + 4
        if self._bytes_left < 0:
            raise RequestTooLargeError("the list of ref updates is too long; push fewer refs at once")
        line, _, capabilities = packet.removesuffix(b"\n").partition(b"\0")
        if capabilities and not self._updates:
            self._capabilities = frozenset(capabilities.split())
        if not _SHALLOW.fullmatch(line):
            self._add(line)

    def _add(self, line: bytes) -> None:
        match = _UPDATE.fullmatch(line)
        if match is None:
            raise BadGitRequestError(
                "a ref update is two object ids and a ref name; signed pushes are not taken"
            )
        if len(self._updates) == self._max_updates:
            raise RequestTooLargeError(
                f"one push may update at most {self._max_updates} refs; push them in parts"
            )
        old, new, ref = match.groups()
        if len(ref) > MAX_REF_BYTES:
            raise BadGitRequestError(f"a ref name may have at most {MAX_REF_BYTES} bytes, not {len(ref)}")
        self._updates.append(RefUpdate(ref=ref, old=old.decode(), new=new.decode()))


def render_refusal(request: PushRequest, reason: str) -> bytes:
    """The answer to a push that git never saw: every update refused, in the form the client asked for."""
    text = reason.encode()
    lines = [pkt_line.encode(b"unpack " + text + b"\n")]
    lines += [pkt_line.encode(b"ng " + update.ref + b" " + text + b"\n") for update in request.updates]
    report = b"".join([*lines, pkt_line.FLUSH]) if request.wants_report else b""
    if not request.side_band:
        return report
    message = pkt_line.encode(b"\2" + text + b"\n")
    step = pkt_line.MAX_PAYLOAD - 1
    bands = [pkt_line.encode(b"\1" + report[at : at + step]) for at in range(0, len(report), step)]
    return b"".join([message, *bands, pkt_line.FLUSH])
