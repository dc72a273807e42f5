from __future__ import annotations

import json

from kasbah.wire.session_recording import asciicast
from kasbah.wire.session_recording.asciicast import About

ABOUT = About(timestamp=1700000000, title="mia", command="sh -c 'a b'")


def test_a_header_is_the_second_versions():
    assert json.loads(asciicast.header(ABOUT, 100, 30)) == {
        "version": 2,
        "width": 100,
        "height": 30,
        "timestamp": 1700000000,
        "title": "mia",
        "command": "sh -c 'a b'",
    }


def test_no_title_is_endless():
    made = json.loads(asciicast.header(About(timestamp=0, title="x" * 5000, command="y" * 5000), 1, 1))
    assert (len(made["title"]), len(made["command"])) == (1000, 1000)


def test_an_event_is_one_line_of_ascii():
    assert asciicast.event(1.23456789, "o", "a\r\nü\x1b\u2028\U0001f600") == (
        rb'[1.234568, "o", "a\r\n\u00fc\u001b\u2028\ud83d\ude00"]' + b"\n"
    )
