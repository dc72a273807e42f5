from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kasbah.errors import UserError
from kasbah.kit.doctor import runner
from kasbah.kit.doctor.check import Check, FaultError, Finding, Result, Verdict

pytestmark = pytest.mark.asyncio


class Listener:
    def __init__(self) -> None:
        self.told: list[str] = []

    def begins(self, check: Check) -> None:
        self.told.append(f"begins {check.name}")

    def ended(self, result: Result) -> None:
        self.told.append(f"{result.verdict.value} {result.name}")


def check(name: str, outcome: Finding | Exception, *needs: str) -> Check:
    async def look() -> Finding:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Check(name=name, doing=f"look at {name}", look=look, needs=needs)


FINE = Finding(seen="fine")
BROKEN = FaultError("worn-out", "it is worn out", "buy another")


async def test_what_needs_a_fault_is_skipped_and_so_is_what_needs_that():
    listener = Listener()
    checks = [check("a", BROKEN), check("b", FINE, "a"), check("c", FINE, "b"), check("d", FINE)]
    report = await runner.examine(checks, listener)
    assert [r.verdict for r in report.results] == [
        Verdict.FAULT,
        Verdict.SKIPPED,
        Verdict.SKIPPED,
        Verdict.OK,
    ]
    assert [r.seen for r in report.results[1:3]] == ["needs a", "needs b"]
    assert listener.told == ["begins a", "fault a", "skipped b", "skipped c", "begins d", "ok d"]


async def test_a_warning_skips_nothing():
    report = await runner.examine(
        [check("a", Finding(seen="old", warning="worn")), check("b", FINE, "a")], Listener()
    )
    assert [(r.verdict, r.fault) for r in report.results] == [(Verdict.WARNING, "worn"), (Verdict.OK, "")]


async def test_a_fault_keeps_its_name_and_advice():
    (result,) = (await runner.examine([check("a", BROKEN)], Listener())).results
    assert (result.fault, result.seen, result.advice) == ("worn-out", "it is worn out", "buy another")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (UserError("cannot be read"), "failed"),
        (ConnectionResetError("gone"), "failed"),
        (TimeoutError(), "failed"),
        (KeyError("oops"), "bug"),
    ],
)
async def test_whatever_a_look_meets_is_told_and_the_next_is_taken(error: Exception, fault: str):
    report = await runner.examine([check("a", error), check("b", FINE)], Listener())
    assert [r.fault for r in report.results] == [fault, ""]


async def test_a_look_without_an_end_is_ended():
    async def look() -> Finding:
        await asyncio.Event().wait()
        return FINE

    endless = Check(name="a", doing="wait", look=look, limit_s=0.01)
    (result,) = (await runner.examine([endless], Listener())).results
    assert (result.fault, result.seen) == ("no-end", "no end within 0.01 s")


async def test_checks_may_be_made_while_others_run():
    seen: list[str] = []

    def look(name: str) -> Callable[[], Awaitable[Finding]]:
        async def taken() -> Finding:
            seen.append(name)
            return FINE

        return taken

    report = await runner.examine(
        (Check(name=f"{number}", doing=str(seen), look=look(f"{number}")) for number in range(3)), Listener()
    )
    assert [r.doing for r in report.results] == ["[]", "['0']", "['0', '1']"]
