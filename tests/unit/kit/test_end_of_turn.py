from __future__ import annotations

import asyncio

import pytest

from kasbah.kit.end_of_turn import EndOfTurn


class Speaker:
    def __init__(self, said: list[str], word: str) -> None:
        self.said, self.word = said, word

    def flush(self) -> None:
        self.said.append(self.word)


@pytest.mark.asyncio
async def test_they_speak_at_the_end_of_the_turn_in_their_order():
    said: list[str] = []
    turn = EndOfTurn()
    for word in ("one", "two"):
        turn.flush(Speaker(said, word))
    assert said == []
    await asyncio.sleep(0)
    assert said == ["one", "two"]


@pytest.mark.asyncio
async def test_who_comes_while_others_speak_waits_for_the_next_turn():
    said: list[str] = []
    turn = EndOfTurn()

    class Late(Speaker):
        def flush(self) -> None:
            super().flush()
            turn.flush(Speaker(said, "late"))

    turn.flush(Late(said, "early"))
    await asyncio.sleep(0)
    assert said == ["early"]
    await asyncio.sleep(0)
    assert said == ["early", "late"]
