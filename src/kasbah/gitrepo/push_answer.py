"""git's answer to a push, held back until the push is safe on disk.

Pure. Progress passes at once; from the first byte of the report on, everything is kept, so that the client learns
"ok" only after the directories were synced (see `durability`). The kept report also says which refs changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kasbah.gitrepo.errors import BadGitRequestError, GitFailedError
from kasbah.gitrepo.pkt_line import Marker, Packet, PktLineReader, encode

MAX_HELD: Final = 64 << 20
"""A report has a line for each ref; 50,000 refs with the longest names git takes stay below this."""
_BAND_REPORT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PushReport:
    """git's word on each ref."""

    unpacked: bool
    accepted: tuple[bytes, ...]
    rejected: tuple[bytes, ...]


class PushAnswer:
    """Splits the answer into what may pass and what must wait."""

    def __init__(self, *, side_band: bool, max_held: int = MAX_HELD) -> None:
        self._reader = PktLineReader()
        self._held = bytearray()
        self._report = bytearray()
        self._holding = not side_band
        self._side_band = side_band
        self._max_held = max_held

    def feed(self, data: bytes) -> bytes:
        """The bytes that may go to the client now."""
        if not self._side_band:
            self._hold(data)
            self._report += data
            return b""
        self._reader.feed(data)
        passing = bytearray()
        while (packet := self._reader.next_packet()) is not None:
            self._sort(packet, passing)
        return bytes(passing)

    def held(self) -> bytes:
        """The rest of the answer, to be sent once the push is durable."""
        return bytes(self._held) + self._reader.rest()

    def report(self) -> PushReport:
        """What the held answer says; nothing accepted when git was cut off before it spoke."""
        return parse_report(bytes(self._report))

    def _sort(self, packet: Packet, passing: bytearray) -> None:
        is_report = not isinstance(packet, Marker) and packet[:1] == bytes([_BAND_REPORT])
        if is_report and not isinstance(packet, Marker):
            self._report += packet[1:]
        self._holding = self._holding or is_report
        raw = packet.value if isinstance(packet, Marker) else encode(packet)
        if self._holding:
            self._hold(raw)
        else:
            passing += raw

    def _hold(self, data: bytes) -> None:
        self._held += data
        if len(self._held) > self._max_held:
            raise GitFailedError("git's report on the push is larger than any report can be")


def parse_report(report: bytes) -> PushReport:
    """A report-status (gitprotocol-pack, "Report Status") as a record; option lines of version 2 add nothing here."""
    reader = PktLineReader()
    reader.feed(report)
    unpacked = False
    refs: dict[bytes, list[bytes]] = {b"ok": [], b"ng": []}
    while (packet := _next_or_none(reader.next_packet)) is not None and not isinstance(packet, Marker):
        word, _, rest = packet.removesuffix(b"\n").partition(b" ")
        if word == b"unpack":
            unpacked = rest == b"ok"
        elif word in refs:
            refs[word].append(rest.partition(b" ")[0])
    return PushReport(unpacked=unpacked, accepted=tuple(refs[b"ok"]), rejected=tuple(refs[b"ng"]))


def _next_or_none(next_packet: Callable[[], Packet | None]) -> Packet | None:
    try:
        return next_packet()
    except BadGitRequestError:
        return None  # git was killed amid its report: what is whole counts
