"""What the API server writes about each request it answered: the policy it follows, and how to read the file.

One JSON document (`audit.k8s.io/v1`, level Metadata) a line, written when the answer is: that of a large answer may come
a moment after its last byte. Left out is what nobody asks for and everything repeats: probes of health, and the leases by
which nodes and controllers say that they live.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Event = dict[str, Any]

POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
        {
            "level": "None",
            "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}],
            "namespaces": ["kube-node-lease", "kube-system"],
        },
        {"level": "Metadata"},
    ],
}
_MAX_MIB = 1024


class AuditLog:
    """The audit log of one cluster, from its first start to its end."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "audit.log"
        self._policy = directory / "audit-policy.json"

    def flags(self) -> list[str]:
        """Writes the policy, and gives the flags by which kube-apiserver follows it."""
        self._policy.write_text(json.dumps(POLICY))
        return [
            f"--audit-policy-file={self._policy}",
            f"--audit-log-path={self.file}",
            "--audit-log-mode=blocking",
            f"--audit-log-maxsize={_MAX_MIB}",  # a benchmark must not fill the disk
            "--audit-log-maxbackup=1",
        ]

    def position(self) -> int:
        """Where the log ends now; `events` from here on are those of what comes next."""
        return self.file.stat().st_size if self.file.exists() else 0

    def events(self, since: int = 0) -> list[Event]:
        """All events written after this position, oldest first; one request has one event for each of its stages.

        `stage` is `ResponseComplete`, for watches and streams `ResponseStarted` first, or `Panic`.
        """
        with self.file.open("rb") as log:
            log.seek(since)
            whole, _, _unfinished = log.read().rpartition(b"\n")
        return [json.loads(line) for line in whole.splitlines()]
