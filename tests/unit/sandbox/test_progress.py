"""What a waiting person reads."""

from __future__ import annotations

import io

import pytest

from sandbox import progress
from sandbox.progress import Progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (367, "6 min 07 s")]
)
def test_times_are_spelled_for_people(seconds: float, words: str) -> None:
    assert progress.spell(seconds) == words


def test_elsewhere_than_at_a_terminal_every_line_is_plain() -> None:
    out = io.StringIO()
    with Progress(total=1, about_s=10, stream=out).step("etcd"):
        pass
    assert out.getvalue().splitlines() == [
        "sandbox: building etcd (1 of 1), 0 s elapsed of about 10 s",
        "sandbox: built etcd (1 of 1) in 0 s",
    ]


def test_at_a_terminal_the_line_is_rewritten_in_place() -> None:
    out = _Terminal()
    with Progress(total=1, about_s=10, stream=out).step("etcd"):
        pass
    assert out.getvalue().startswith("\r\x1b[Ksandbox: building etcd")
    assert out.getvalue().count("\n") == 1


def test_a_step_that_failed_does_not_count_as_built() -> None:
    out = io.StringIO()
    run = Progress(total=2, about_s=10, stream=out)
    with pytest.raises(ZeroDivisionError), run.step("etcd"):
        _ = 1 // 0
    assert "built" not in out.getvalue()
