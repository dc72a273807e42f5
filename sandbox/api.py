"""The few calls the sandbox itself makes to its API server, without starting a kubectl for each."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.parse
from pathlib import Path
from typing import Any

_TIMEOUT_S = 5.0


class Api:
    """One administrator's view of the API server at `url`."""

    def __init__(self, url: str, ca_file: Path, token: str) -> None:
        self._address = urllib.parse.urlsplit(url).netloc
        self._ca_file = ca_file
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def status(self, method: str, path: str, body: dict[str, Any] | None = None) -> int:
        """The status of the answer; 0 while nobody answers."""
        return self.call(method, path, body)[0]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """The answer's status and body; status 0 while nobody answers."""
        try:
            context = ssl.create_default_context(cafile=str(self._ca_file))
            connection = http.client.HTTPSConnection(self._address, timeout=_TIMEOUT_S, context=context)
            try:
                connection.request(method, path, json.dumps(body) if body else None, self._headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException):
            return 0, b""


def node_is_ready(api: Api, name: str) -> bool:
    """Whether the node is registered and says that it is ready."""
    status, body = api.call("GET", f"/api/v1/nodes/{name}")
    conditions = json.loads(body)["status"].get("conditions", []) if status == 200 else []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
