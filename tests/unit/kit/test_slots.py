"""Slots: a few for each, and nothing kept of those who have none."""

from __future__ import annotations

import pytest

from kasbah.kit.slots import NoSlotError, Slots


def test_each_holder_has_a_few_and_gets_them_back():
    slots = Slots[str](2)
    with slots.take("a"), slots.take("a"), slots.take("b"):
        with pytest.raises(NoSlotError, match="2 already"), slots.take("a"):
            pass
        with slots.take("b"):
            pass
    with slots.take("a"):
        pass
    assert slots._taken == {}


def test_a_slot_comes_back_from_a_block_that_fails():
    slots = Slots[str](1)
    with pytest.raises(ValueError), slots.take("a"):
        raise ValueError
    assert slots._taken == {}
