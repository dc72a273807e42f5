"""Logs never hold a credential."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr

import structlog

from kasbah.kit import logs


def logged(level: logs.Level, **fields: object) -> list[dict[str, object]]:
    stream = io.StringIO()
    with redirect_stderr(stream):
        logs.configure(level, json_lines=True)
        log = structlog.get_logger()
        log.debug("quiet")
        log.info("something happened", **fields)
    structlog.reset_defaults()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_fields():
    (line,) = logged("info", agent_id=7)
    assert (line["event"], line["agent_id"], line["level"]) == ("something happened", 7, "info")


def test_the_level_decides_what_is_written():
    assert len(logged("debug")) == 2
    assert logged("error") == []


def test_credentials_are_masked_in_text_and_in_errors():
    (line,) = logged("info", text="glpat-secret", error=ValueError("Bearer pat:1:secret"))
    assert "secret" not in json.dumps(line)


def test_a_value_of_a_megabyte_is_cut():
    (line,) = logged("info", text="x" * 1_000_000)
    assert len(str(line["text"])) == 8192


def test_at_a_terminal_nobody_elses_words_steer_it():
    stream = io.StringIO()
    with redirect_stderr(stream):
        logs.configure("info", json_lines=False)
        structlog.get_logger().info("call failed", error="\x1b[2Jgone\r\nand-more")
    structlog.reset_defaults()
    assert "\x1b[2J" not in stream.getvalue()
    assert "x1b[2Jgone" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1
