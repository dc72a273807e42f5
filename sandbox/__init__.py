"""A real Kubernetes control plane on this machine, for tests, benchmarks, the demo and people trying things.

    with sandbox.control_plane() as cluster:
        cluster.kubectl("get", "nodes")

It is made of the real programs (etcd, kube-apiserver, kube-controller-manager, kube-scheduler), built once from pinned
Go modules into the user's cache, and of nodes of one of two kinds: KWOK plays a kubelet for any user; a real kubelet with
containerd and runc runs in namespaces of its own where the user is root. No container engine, no image, no download
script. Whatever happens to the program that started it, nothing is left behind.

It knows nothing of Kasbah beyond the roots of its errors.
"""

from __future__ import annotations

from sandbox.audit import AuditLog
from sandbox.cluster import Cluster, ExistingCluster
from sandbox.contexts import existing
from sandbox.errors import CannotRunError, SandboxError
from sandbox.up import NodeChoice, clients, control_plane, prepare, why_not
from sandbox.workload import IMAGE

__all__ = [
    "IMAGE",
    "AuditLog",
    "CannotRunError",
    "Cluster",
    "ExistingCluster",
    "NodeChoice",
    "SandboxError",
    "clients",
    "control_plane",
    "existing",
    "prepare",
    "why_not",
]
