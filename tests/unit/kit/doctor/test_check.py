from __future__ import annotations

from kasbah.kit.doctor.check import Report, Result, Verdict


def result(name: str, verdict: Verdict) -> Result:
    return Result(name=name, doing="", verdict=verdict, seen="")


def test_the_first_fault_is_the_one_that_counts():
    verdicts = {
        "a": Verdict.OK,
        "b": Verdict.WARNING,
        "c": Verdict.FAULT,
        "d": Verdict.SKIPPED,
        "e": Verdict.FAULT,
    }
    report = Report(tuple(result(name, verdict) for name, verdict in verdicts.items()))
    assert report.first_fault is not None
    assert report.first_fault.name == "c"


def test_a_warning_is_no_fault():
    assert Report((result("a", Verdict.WARNING),)).first_fault is None
