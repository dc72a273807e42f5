"""A cluster that was there before us, chosen by a context of the user's kubeconfig."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox import build, places
from sandbox.binaries import ALL
from sandbox.cluster import ExistingCluster
from sandbox.errors import CannotRunError


@contextmanager
def existing(context: str, kubeconfig: Path | None = None) -> Iterator[ExistingCluster]:
    """The cluster of a context: its kubeconfig is a private copy with that one context, removed at the end.

    Raises:
        CannotRunError: there is no kubectl, or no such context.
    """
    kubectl = _kubectl()
    with tempfile.TemporaryDirectory(prefix="kasbah-context-") as directory:
        copy = Path(directory, "kubeconfig")
        copy.touch(mode=0o600)
        copy.write_text(_one_context(kubectl, context, kubeconfig))
        yield ExistingCluster(admin_kubeconfig=copy, context=context, kubectl_path=kubectl)


def _kubectl() -> Path:
    built = build.place(ALL["kubectl"], places.cache())
    found = shutil.which("kubectl") or (str(built) if built.exists() else None)
    if found is None:
        raise CannotRunError("there is no kubectl: install one, or run `python -m sandbox build kubectl`")
    return Path(found)


def _one_context(kubectl: Path, context: str, kubeconfig: Path | None) -> str:
    environment = os.environ | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})
    command = [str(kubectl), "config", "view", "--minify", "--flatten", f"--context={context}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise CannotRunError(f"the kubeconfig context {context!r} cannot be used: {done.stderr.strip()}")
    return done.stdout
