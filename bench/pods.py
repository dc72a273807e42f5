"""A list of pods as an API server answers it: about as long as asked, and about as hard to compress as a real one."""

from __future__ import annotations

import hashlib
import itertools
import json

_HEAD = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"4711"},"items":['
_TAIL = b"]}"


def pod_list(size: int) -> bytes:
    """JSON of exactly `size` bytes, the same each time: whole pods, and blanks for what is left."""
    items: list[bytes] = []
    left = size - len(_HEAD) - len(_TAIL)
    for number in itertools.count():
        pod = json.dumps(_pod(number), separators=(",", ":")).encode()
        left -= len(pod) + 1
        if left < 0:
            break
        items.append(pod)
    return (_HEAD + b",".join(items) + _TAIL).ljust(size)


def _pod(number: int) -> dict[str, object]:
    """What differs from pod to pod in a cluster: identities, addresses, times."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    name, uid = (
        f"web-{digest[:9]}-{digest[9:14]}",
        f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-{digest[16:28]}",
    )
    when = f"2026-05-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:{number * 7 % 60:02}Z"
    image = f"registry.example.com/team-{number % 40}/web@sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    return {
        "metadata": {
            "name": name,
            "namespace": f"team-{number % 40}",
            "uid": uid,
            "resourceVersion": str(100_000 + number * 37),
            "creationTimestamp": when,
            "labels": {"app": "web", "pod-template-hash": digest[:9]},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{digest[:9]}"}],
        },
        "spec": {
            "containers": [{"name": "web", "image": image, "ports": [{"containerPort": 8080}]}],
            "nodeName": f"node-{number % 97}",
            "serviceAccountName": "web",
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": when}],
            "podIP": f"10.{number % 250}.{number // 250 % 250}.{number * 13 % 250}",
            "containerStatuses": [{"name": "web", "ready": True, "containerID": f"containerd://{digest}"}],
        },
    }
