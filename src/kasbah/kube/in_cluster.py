"""Access from within a pod: the service account's files and the variables every pod gets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kasbah.errors import UserError
from kasbah.kube.access import ClusterAccess, TlsSettings, TokenFile, cluster_access
from kasbah.wire.identity import Identity

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def runs_in_a_pod(environment: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> bool:
    """Whether there is an API server to be reached the way pods do."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST")) and (folder / "token").exists()


def load(
    environment: Mapping[str, str], folder: Path = SERVICE_ACCOUNT, identity: Identity | None = None
) -> ClusterAccess:
    """The pod's own access; its token is read again when kubelet rotates it.

    Raises:
        UserError: this is not a pod, or its service account is not mounted.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise UserError("not in a cluster: KUBERNETES_SERVICE_HOST is not set")
    try:
        ca_pem = (folder / "ca.crt").read_bytes()
    except OSError as error:
        raise UserError(
            f"the pod's service account is not mounted at {folder}: set automountServiceAccountToken"
        ) from error
    return cluster_access(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        tls=TlsSettings(ca_pem=ca_pem),
        authorization=TokenFile(folder / "token"),
        identity=identity,
        namespace=_namespace(folder),
    )


def _namespace(folder: Path) -> str:
    try:
        return (folder / "namespace").read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"
