"""Runs kubectl against one kubeconfig and tells what it said when it failed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.processes import without_proxies


def run(
    kubectl: Path | str,
    arguments: tuple[str, ...],
    *,
    kubeconfig: Path,
    cache: Path | None,
    stdin: str | None,
    check: bool,
) -> subprocess.CompletedProcess[str]:
    """One call.

    Raises:
        SandboxError: it failed and `check` was wanted; the text holds what it wrote to standard error.
    """
    # A cache of its own marks a cluster of ours, and that is never behind a proxy.
    own = without_proxies() | {"KUBECACHEDIR": str(cache)} if cache else dict(os.environ)
    environment = own | {"KUBECONFIG": str(kubeconfig)}
    done = subprocess.run(
        [str(kubectl), *arguments], input=stdin, capture_output=True, text=True, check=False, env=environment
    )
    if check and done.returncode:
        raise SandboxError(
            f"kubectl {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}"
        )
    return done
