"""The loop our programs run on."""

from __future__ import annotations

import asyncio
import gc

from kasbah.kit import loop


def test_a_program_runs_to_its_result_on_a_loop_of_the_factory():
    async def program() -> type[asyncio.AbstractEventLoop]:
        return type(asyncio.get_running_loop())

    made = loop.loop_factory()()
    made.close()
    thresholds = gc.get_threshold()
    try:
        assert loop.run(program()) is type(made)
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
