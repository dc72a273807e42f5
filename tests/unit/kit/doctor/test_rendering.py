from __future__ import annotations

import json

import pytest

from kasbah.kit.doctor import rendering
from kasbah.kit.doctor.check import Check, Finding, Report, Result, Verdict
from kasbah.kit.doctor.rendering import Cleaner, Lines
from kasbah.kit.secrets import Secret

FAULT = Result(
    name="kas.tls",
    doing="TLS",
    verdict=Verdict.FAULT,
    seen="it has expired",
    fault="tls-expired",
    advice="renew it",
    details=("kind: Role",),
    took_s=0.0123,
)
FINE = Result(name="kas.dns", doing="DNS", verdict=Verdict.OK, seen="found", took_s=2.04)
WARNED = Result(name="kas.version", doing="v", verdict=Verdict.WARNING, seen="old", fault="version-differs")
SKIPPED = Result(name="kas.ping", doing="ping", verdict=Verdict.SKIPPED, seen="needs kas.tls")


def told(*results: Result, terminal: bool = False, quiet: bool = False) -> str:
    written: list[str] = []
    lines = Lines(written.append, Cleaner(), terminal=terminal, quiet=quiet)
    for result in results:
        lines.begins(Check(name=result.name, doing=result.doing, look=nothing))
        lines.ended(result)
    lines.summary(Report(results))
    return "".join(written)


async def nothing() -> Finding:
    raise AssertionError


def test_people_get_a_line_a_look_and_what_to_change():
    assert told(FINE, FAULT, SKIPPED).splitlines() == [
        "ok    kas.dns              found (2.0 s)",
        "FAIL  kas.tls              it has expired [tls-expired] (12 ms)",
        "      to change: renew it",
        "      kind: Role",
        "skip  kas.ping             needs kas.tls",
        "",
        "The first hop that fails is kas.tls (tls-expired).",
    ]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ((FINE,), "Everything works."),
        ((FINE, WARNED), "Everything works; 1 warning above."),
        ((WARNED, WARNED), "Everything works; 2 warnings above."),
    ],
)
def test_the_last_words_say_whether_all_is_well(results: tuple[Result, ...], words: str):
    assert told(*results).splitlines()[-1] == words


def test_a_terminal_shows_what_is_under_way():
    assert told(FINE, terminal=True).startswith("\r\x1b[K...   kas.dns  DNS\r\x1b[Kok    kas.dns")


def test_a_machine_gets_nothing_but_the_end():
    assert told(FINE, FAULT, quiet=True) == ""


def test_json_holds_every_look():
    document = json.loads(rendering.render_json(Report((FINE, FAULT)), Cleaner()))
    assert (document["well"], document["first_fault"]) == (False, "kas.tls")
    assert document["checks"][1] == {
        "name": "kas.tls",
        "doing": "TLS",
        "result": "fault",
        "seen": "it has expired",
        "fault": "tls-expired",
        "advice": "renew it",
        "details": ["kind: Role"],
        "took_ms": 12.3,
    }
    assert json.loads(rendering.render_json(Report((FINE,)), Cleaner()))["first_fault"] is None


def test_secrets_and_control_characters_are_not_shown():
    clean = Cleaner([Secret("hunter2!"), Secret("ab")])
    assert clean("hunter2! said \x1b[31m glpat-abcdef to ab") == "*** said \ufffd[31m *** to ab"
