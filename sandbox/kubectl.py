"""Runs kubectl against one kubeconfig and tells what it said when it failed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from sandbox.errors import SandboxError


def run(
    kubectl: Path | str,
    arguments: tuple[str, ...],
    *,
    kubeconfig: Path | None,
    cache: Path | None,
    stdin: str | None,
    check: bool,
) -> subprocess.CompletedProcess[str]:
    """One call.

    Raises:
        SandboxError: it failed and `check` was wanted; the text holds what it wrote to standard error.
    """
    environment = dict(os.environ)
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    if cache is not None:
        environment["KUBECACHEDIR"] = str(cache)
    done = subprocess.run(
        [str(kubectl), *arguments], input=stdin, capture_output=True, text=True, check=False, env=environment
    )
    if check and done.returncode:
        raise SandboxError(
            f"kubectl {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}"
        )
    return done
