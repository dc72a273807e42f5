from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kasbah.kas.kubernetes_api import grant
from kasbah.kas.kubernetes_api.record import RequestRecord
from kasbah.kas.session_recording import recorder as recorder_module
from kasbah.kas.session_recording.recorder import (
    RECORDED,
    AsciicastRecorder,
    SessionTap,
    about,
    open_recorder,
)
from kasbah.kas.session_recording.settings import SessionRecordingSettings
from kasbah.kas.session_recording.writer import BROKEN
from kasbah.wire import http1, request_policy
from kasbah.wire.identity import AsAgent, AsUser
from tests.doubles.people import access_of_mia
from tests.doubles.session_bytes import SpdyClient, data, typed, written

EXEC = "/api/v1/namespaces/fleet/pods/web/exec?command=sh&command=-c&command=a%20b&container=app&tty=true"
WEBSOCKET = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
SPDY = ["Connection: Upgrade", "Upgrade: SPDY/3.1"]
HEAD = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"


def record(target: str = EXEC, headers: list[str] = WEBSOCKET, *, granted: bool = True) -> RequestRecord:
    lines = [f"GET {target} HTTP/1.1", "Host: a", "Authorization: Bearer pat:7:good", *headers]
    head = http1.request_head("\r\n".join([*lines, "", ""]).encode())
    made = RequestRecord(request_policy.prepare(head, 0), "127.0.0.1", b"")
    if granted:
        made.grant = grant.issue("g", access_of_mia(AsUser(username="gitlab:user:mia")), deadline_ms=1)
    return made


class Studio:
    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        made = open_recorder(SessionRecordingSettings(directory=directory, **settings))
        assert made is not None
        self.recorder: AsciicastRecorder = made

    def tap(self, made: RequestRecord | None = None, head: bytes = HEAD) -> SessionTap:
        tap = self.recorder.tap(made or record(), head)
        assert tap is not None
        return tap

    def files(self) -> dict[str, list[Any]]:
        """What is on the disk, after everything was written."""
        writer = self.recorder._writer
        writer._write_out(*writer._taken())
        return {
            p.name: [json.loads(line) for line in p.read_text().splitlines()]
            for p in self.directory.iterdir()
        }

    def events(self) -> list[Any]:
        (lines,) = self.files().values()
        return [line[1:] for line in lines[1:]]


def broken(reason: str) -> float:
    return BROKEN.labels(reason)._value.get()


def test_nothing_is_recorded_without_a_directory():
    assert open_recorder(SessionRecordingSettings()) is None


def test_a_session_is_a_file_named_by_its_request(tmp_path: Path):
    studio, made, before = Studio(tmp_path), record(), RECORDED._value.get()
    tap = studio.tap(made)
    tap.from_client(typed(0, b"secret"))
    tap.from_cluster(written(1, b"hello"))
    tap.ended()
    tap.ended()
    tap.from_cluster(written(1, b"late"))
    (header, event) = studio.files()[f"{made.request_id}.cast"]
    assert header["title"] == "mia as gitlab:user:mia: agent 7, fleet/web/app: sh -c 'a b'"
    assert event[1:] == ["o", "hello"]
    assert RECORDED._value.get() == before + 1


def test_what_is_typed_is_recorded_when_asked_for(tmp_path: Path):
    studio = Studio(tmp_path, with_input=True)
    studio.tap().from_client(typed(0, b"ls"))
    assert studio.events() == [["i", "ls"]]


def test_spdy_is_recorded_alike(tmp_path: Path):
    studio = Studio(tmp_path)
    tap = studio.tap(record(headers=SPDY), b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    tap.from_client(SpdyClient().session())
    tap.from_cluster(data(5, b"hello"))
    assert studio.events() == [["o", "hello"]]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (EXEC.replace("/exec", "/portforward"), WEBSOCKET),
        (EXEC.replace("/exec", "/log"), WEBSOCKET),
        (EXEC, []),
    ],
)
def test_nothing_else_is_recorded(tmp_path: Path, target: str, headers: list[str]):
    assert Studio(tmp_path).recorder.tap(record(target, headers), HEAD) is None


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b"Sec-WebSocket-Protocol: v4.base64.channel.k8s.io\r\n", "v4.base64.channel.k8s.io is not followed"),
        (b"Sec-WebSocket-Extensions: permessage-deflate\r\n", "the WebSocket has extensions"),
    ],
)
def test_a_websocket_of_another_kind_is_a_file_that_says_so(tmp_path: Path, lines: bytes, why: str):
    studio, before = Studio(tmp_path), broken("not_understood")
    tap = studio.tap(head=b"HTTP/1.1 101 Switching Protocols\r\n" + lines + b"\r\n")
    tap.from_cluster(written(1, b"hello"))
    tap.ended()
    assert studio.events() == [["m", f"the recording ends here: {why}"]]
    assert broken("not_understood") == before + 1


@pytest.mark.parametrize(
    ("said", "reason", "settings"),
    [
        (b"\xff" * 20, "not_understood", {}),
        (written(1, b"x" * 2000), "too_large", {"max_file_bytes": 1000}),
        (written(1, b"x" * 2000), "disk", {"max_waiting_bytes": 1000}),
    ],
)
def test_a_recording_that_cannot_go_on_ends_with_a_marker_and_is_counted(
    tmp_path: Path, said: bytes, reason: str, settings: dict[str, int]
):
    studio, before = Studio(tmp_path, **settings), broken(reason)
    tap = studio.tap()
    tap.from_cluster(said)
    tap.from_cluster(said)
    tap.ended()
    ((kind, why),) = studio.events()
    assert (kind, why.partition(":")[0]) == ("m", "the recording ends here")
    assert broken(reason) == before + 1


def test_a_recording_whose_file_failed_is_given_up(tmp_path: Path):
    studio, made = Studio(tmp_path), record()
    (tmp_path / f"{made.request_id}.cast").mkdir()
    tap = studio.tap(made)
    tap.from_cluster(written(1, b"a"))
    studio.recorder._writer._write_out(*studio.recorder._writer._taken())
    tap.from_cluster(written(1, b"b"))
    assert studio.recorder._writer._taken()[0] == {}


def test_a_bug_of_ours_does_not_touch_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Broken(recorder_module.SessionFollower):
        def from_cluster(self, data: bytes, now: float) -> bytes:
            raise ZeroDivisionError

    monkeypatch.setattr(recorder_module, "SessionFollower", Broken)
    studio = Studio(tmp_path)
    tap = studio.tap()
    tap.from_cluster(b"x")
    tap.from_cluster(b"x")
    assert studio.events() == [["m", "the recording ends here: kas failed"]]


def test_a_title_says_who_acts():
    made = record()
    made.grant = grant.issue("g", access_of_mia(AsAgent()), deadline_ms=1)
    assert about(made).title.startswith("mia as the agent: ")
    made.grant = None
    assert about(made).title == "agent 7, fleet/web/app: sh -c 'a b'"
    attach = record(EXEC.replace("/exec", "/attach").partition("?")[0])
    assert about(attach).title.endswith(": agent 7, fleet/web: attach")
    chosen = record(headers=[*WEBSOCKET, "Impersonate-User: alice"])
    assert about(chosen).title.startswith("mia as alice: ")


def test_a_title_is_one_line():
    assert about(record(EXEC + "&command=%0a%1b")).command == "sh -c 'a b' '  '"
