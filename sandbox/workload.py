"""The one image of the sandbox, under one name on both kinds of node, so that the same manifests run on either.

Its default command writes a numbered line a second, answers HTTP on port 8080 and echoes on port 7. On a real node it is
a busybox made from scratch; on a KWOK node `sandbox.stand_in` does the same for all pods together.
"""

from __future__ import annotations

IMAGE = "localhost/kasbah-sandbox:1"
"""Use it with `imagePullPolicy: Never` or `IfNotPresent`: there is no registry to pull it from."""

HTTP_PORT = 8080
ECHO_PORT = 7
GREETING = "hello from a pod of the sandbox\n"
