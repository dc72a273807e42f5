"""Git hosting as a process of its own, for tests that kill it: prints its port, serves until it dies."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kasbah.hub.repositories.store import RepositoryStore
from tests.integration.repositories.conftest import PROJECT, serving


async def main() -> None:
    store = RepositoryStore(Path(sys.argv[1]))
    async with serving(store, create=not store.path(PROJECT).exists()) as hosting:
        print(hosting.port, flush=True)  # noqa: T201 - how the test learns it
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
