"""Runs one behaviour at both sides and judges what it told."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.e2e.conformance.behaviour import Behaviour, Seen
from tests.e2e.conformance.differing import differences
from tests.e2e.conformance.lab import Lab

_LOOKS = 6
_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A behaviour on one way through kas."""

    behaviour: Behaviour
    way: str = "kas"

    def __str__(self) -> str:
        return f"{self.way}: {self.behaviour}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen of one case."""

    case: Case
    direct: Seen
    through: Seen

    @property
    def equal(self) -> bool:
        return bool(self.direct == self.through)

    @property
    def good(self) -> bool:
        """Equal, or different exactly as stated."""
        stated = self.case.behaviour.stated
        return self.equal if stated is None else not self.equal and stated(self.direct, self.through)

    def told(self) -> str:
        """For a failed test."""
        found = list(differences(self.direct, self.through))
        return "\n".join(found or ["both sights are equal, and a difference is stated"])


def try_out(lab: Lab, number: int, case: Case) -> Outcome:
    """The behaviour at both sides, again when what it looks at changed meanwhile."""
    act = case.behaviour
    for look in range(_LOOKS if act.changing else 1):
        time.sleep(look * _PAUSE_S)  # noqa: TID251 - others change what is looked at, and tell nobody
        direct = act.do(lab.side(act.who, f"direct-{case.way}", number))
        through = act.do(lab.side(act.who, case.way, number))
        outcome = Outcome(case=case, direct=direct, through=through)
        if outcome.good:
            break
    return outcome
