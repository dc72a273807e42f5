"""What a real node needs of this machine, and what to do about what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sandbox import build, places
from sandbox.binaries import ALL
from sandbox.errors import CannotRunError

CNI_PLUGINS = Path("/usr/lib/cni")
_BUSYBOX = (Path("/usr/bin/busybox"), Path("/bin/busybox"))
_PACKAGES: dict[str, Callable[[], object]] = {
    "iproute2": partial(shutil.which, "ip"),
    "iptables": partial(shutil.which, "iptables"),
    "containernetworking-plugins": (CNI_PLUGINS / "bridge").exists,
    "busybox-static": lambda: any(path.exists() for path in _BUSYBOX),
}


def check() -> None:
    """Whether a real node can run here.

    Raises:
        CannotRunError: it cannot; the text names what to do.
    """
    if reason := why_never():
        raise CannotRunError(reason)
    missing = [package for package, present in _PACKAGES.items() if not present()]
    if not build.place(ALL["runc"], places.cache()).exists():
        missing += build.missing_for_c()
    if missing:
        raise CannotRunError(f"{', '.join(missing)} missing: run `tools/install-system-packages real-node`")


def why_never() -> str | None:
    """What no package can mend: not root, or a root that may not make namespaces."""
    if os.geteuid() != 0:
        return "a real node needs root (namespaces, mounts, control groups)"
    probe = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "true"]
    tried = subprocess.run(probe, capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"root may not make namespaces here ({tried.stderr.strip()})"
    return None


def busybox() -> Path:
    """The static busybox that images are made from."""
    return next(path for path in _BUSYBOX if path.exists())
