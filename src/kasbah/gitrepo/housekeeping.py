"""Repacks repositories that have grown untidy.

Each push leaves a pack and loose refs, and git's own automatic housekeeping is off (it would detach from the process
group that we can stop). Crash safety is git's: it removes what is old after the new is in place, in an order that a
journalling file system keeps.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from kasbah.gitrepo.process import GitExit, run_to_end
from kasbah.gitrepo.settings import GitSettings

MANY_PACKS: Final = 50
"""git's own threshold (gc.autoPackLimit): looking an object up asks each pack."""
MANY_LOOSE_REFS: Final = 1000
"""Each is a file to open for every advertisement."""


def is_untidy_blocking(repository: Path) -> bool:
    """Whether repacking is worth its while."""
    packs = sum(1 for _ in (repository / "objects/pack").glob("*.pack"))
    if packs >= MANY_PACKS:
        return True
    loose_refs = 0
    for _, _, names in os.walk(repository / "refs"):
        loose_refs += len(names)
        if loose_refs >= MANY_LOOSE_REFS:
            return True
    return False


async def tidy(repository: Path, settings: GitSettings) -> GitExit:
    """One pack, packed refs, unreachable objects of two weeks gone; pushes and fetches go on meanwhile.

    Raises:
        GitTimedOutError: it took longer than any clone may.
    """
    return await run_to_end(["gc", "--quiet"], repository, settings, wall_s=settings.wall_s)
