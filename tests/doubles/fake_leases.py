"""The API server's Leases in memory: created once, replaced only by whoever saw the newest.

`tests/integration/agentk/test_leader_election.py` runs what it promises against a real API server, too.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, field
from typing import Any

from kasbah.errors import PeerError
from kasbah.kube.client import StatusError


@dataclass
class FakeLeases:
    """Attributes:
    objects: what there is, by path.
    down: what every question ends with, instead of an answer.
    """

    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    down: PeerError | None = None
    questions: list[str] = field(default_factory=list)

    async def get_json(self, path: str) -> Any:
        await self._heard(f"GET {path}")
        if path not in self.objects:
            raise StatusError(404, "the API server answered 404")
        return copy.deepcopy(self.objects[path])

    async def send_json(self, method: str, path: str, content: Any) -> Any:
        await self._heard(f"{method} {path}")
        content = copy.deepcopy(content)
        if method == "POST":
            path = f"{path}/{content['metadata']['name']}"
            if path in self.objects:
                raise StatusError(409, "the API server answered 409")
            version = 1
        else:
            version = int(self.objects[path]["metadata"]["resourceVersion"])
            if content["metadata"]["resourceVersion"] != str(version):
                raise StatusError(409, "the API server answered 409")
        content["metadata"]["resourceVersion"] = str(version + 1)
        self.objects[path] = content
        return copy.deepcopy(content)

    async def _heard(self, question: str) -> None:
        self.questions.append(question)
        await asyncio.sleep(0)
        if self.down is not None:
            raise self.down
