"""Decides which sessions are recorded, says whose they are, and hands their bytes to a follower."""

from __future__ import annotations

import shlex
import time
from typing import Final
from urllib.parse import parse_qs

import structlog
from prometheus_client import Counter

from kasbah.kas.kubernetes_api.record import RequestRecord
from kasbah.kas.session_recording.settings import SessionRecordingSettings
from kasbah.kas.session_recording.writer import BROKEN, Recording, RecordingWriter
from kasbah.wire.identity import AsAgent
from kasbah.wire.session_recording import asciicast, websocket_session
from kasbah.wire.session_recording.follower import Carrier, SessionFollower

_log = structlog.get_logger()
RECORDED: Final = Counter("kasbah_kas_session_recordings", "Sessions whose recording began")
_SUBRESOURCES: Final = frozenset({"exec", "attach"})
_CARRIERS: Final[dict[str, Carrier]] = {"websocket": "websocket", "SPDY/3.1": "spdy"}
_BEHIND: Final = "the recording ends here: the disk is too slow"
_MAX_PARAMETERS: Final = 100


class AsciicastRecorder:
    """The `SessionRecorder` that writes files; `run` it."""

    def __init__(self, settings: SessionRecordingSettings, writer: RecordingWriter) -> None:
        self._settings = settings
        self._writer = writer

    async def run(self) -> None:
        """Write until cancelled."""
        await self._writer.run()

    def tap(self, record: RequestRecord, head: bytes) -> SessionTap | None:
        """For an exec or attach; None for everything else."""
        request = record.request
        carrier = _CARRIERS.get(request.upgrade)
        if carrier is None or request.target.subresource not in _SUBRESOURCES:
            return None
        follower = SessionFollower(
            carrier,
            about(record),
            time.monotonic(),
            with_input=self._settings.with_input,
            max_bytes=self._settings.max_file_bytes,
        )
        RECORDED.inc()
        tap = SessionTap(self._writer, Recording(f"{record.request_id}.cast"), follower)
        if carrier == "websocket" and (why := _unreadable(head)):
            tap.give_up(why)
        return tap


class SessionTap:
    """The `Tap` of one session."""

    __slots__ = ("_follower", "_over", "_recording", "_writer")

    def __init__(self, writer: RecordingWriter, recording: Recording, follower: SessionFollower) -> None:
        self._writer = writer
        self._recording = recording
        self._follower = follower
        self._over = False

    def from_client(self, data: bytes) -> None:
        if not self._over:
            self._heard(data, from_client=True)

    def from_cluster(self, data: bytes) -> None:
        if not self._over:
            self._heard(data, from_client=False)

    def ended(self) -> None:
        if not self._over:
            self._end(self._follower.end(time.monotonic()))

    def give_up(self, why: str) -> None:
        """Record no further."""
        BROKEN.labels("not_understood").inc()
        self._end(self._follower.stop(why, time.monotonic()))

    def _heard(self, data: bytes, *, from_client: bool) -> None:
        follower, now = self._follower, time.monotonic()
        if self._recording.failed:
            self._end(b"")
            return
        if not self._writer.has_room(data):
            BROKEN.labels("disk").inc()
            self._end(follower.stop(_BEHIND, now))
            return
        try:
            lines = follower.from_client(data, now) if from_client else follower.from_cluster(data, now)
        except Exception:  # noqa: BLE001 - a bug in what only listens must not touch the session
            _log.exception("session recording crashed", file=self._recording.name)
            self.give_up("the recording ends here: kas failed")
            return
        if not follower.following:
            BROKEN.labels("too_large" if follower.understood else "not_understood").inc()
            self._end(lines)
        elif lines:
            self._writer.write(self._recording, lines)

    def _end(self, lines: bytes) -> None:
        self._over = True
        if lines:
            self._writer.write(self._recording, lines)
        self._writer.end(self._recording)


def open_recorder(settings: SessionRecordingSettings) -> AsciicastRecorder | None:
    """The recorder, when the settings want one.

    Raises:
        RecordingDirectoryError: the directory cannot be used.
    """
    if settings.directory is None:
        return None
    return AsciicastRecorder(settings, RecordingWriter(settings.directory, settings.max_waiting_bytes))


def about(record: RequestRecord) -> asciicast.About:
    """Whose session it is, where, and what was started."""
    target, grant = record.request.target, record.grant
    query = target.raw.partition(b"?")[2].decode("latin-1")
    asked = parse_qs(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    command = shlex.join(asked.get("command", ()))
    who = ""
    if grant is not None:
        identity = record.request.impersonation or grant.identity
        acting = "the agent" if isinstance(identity, AsAgent) else identity.username
        who = f"{grant.access.username} as {acting}: "
    place = "/".join([target.namespace, target.name, *asked.get("container", ())[:1]])
    what = command if target.subresource == "exec" else target.subresource
    title = f"{who}agent {record.request.credential.agent_id}, {place}: {what}"
    return asciicast.About(timestamp=int(time.time()), title=_one_line(title), command=_one_line(command))


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _unreadable(head: bytes) -> str:
    """Why a WebSocket of this 101 cannot be followed; empty when it can."""
    protocol = b""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-extensions":
            return "the recording ends here: the WebSocket has extensions"
        if name.lower() == b"sec-websocket-protocol":
            protocol = value.strip()
    if protocol in websocket_session.PROTOCOLS:
        return ""
    return f"the recording ends here: {protocol.decode('latin-1')} is not followed"
