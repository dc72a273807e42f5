from __future__ import annotations

from kasbah.kas.kubernetes_api.border import guarded


class Party:
    def __init__(self) -> None:
        self.said: list[object] = []

    @guarded
    def told(self, what: object) -> None:
        """Twice."""
        self.said.append(what)
        self.said.append(1 / int(str(what)))

    def crashed(self) -> None:
        self.said.append("crashed")


def test_a_callback_that_raises_crashes_its_own_and_nobody_else():
    party = Party()
    party.told(2)
    party.told(0)
    assert party.said == [2, 0.5, 0, "crashed"]


def test_a_callback_stays_what_it_was():
    assert (Party.told.__name__, Party.told.__doc__) == ("told", "Twice.")
