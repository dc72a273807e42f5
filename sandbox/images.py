"""Container images made from scratch: one layer with a static busybox, as an OCI layout in a tar file.

Nothing is pulled. `ctr images import` reads the result; the same inputs give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import workload

PAUSE = "localhost/kasbah-pause:1"
_SERVE = f"""\
#!/bin/sh
# A numbered line a second, HTTP on {workload.HTTP_PORT}, echo on {workload.ECHO_PORT}; ends at once when told to.
trap 'exit 0' TERM INT
httpd -p {workload.HTTP_PORT} -h /www
nc -ll -p {workload.ECHO_PORT} -e cat &
number=0
while true; do
  number=$((number + 1))
  echo "tick $number"
  sleep 1 &
  wait $!
done
"""
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "www/index.html": workload.GREETING,
}
_DIRECTORIES = {
    "bin": 0o755,
    "etc": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "sys": 0o555,
    "tmp": 0o1777,
    "www": 0o755,
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A name and what runs by default; all our images share one layer."""

    name: str
    command: Sequence[str]


ALL = (
    Image(name=workload.IMAGE, command=("/bin/sh", "/bin/serve")),
    Image(name=PAUSE, command=("/bin/sleep", "2147483647")),
)


def architecture() -> str:
    """This machine's architecture as Go and images call it."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def write(target: Path, busybox: Path) -> None:
    """Writes all images of the sandbox into one OCI layout."""
    layer = _layer(busybox)
    blobs = {_digest(layer): layer}
    manifests = []
    for image in ALL:
        config = _json(_config(image, layer))
        manifest = _json(_manifest(config, layer))
        blobs |= {_digest(config): config, _digest(manifest): manifest}
        manifests.append(_named(image, manifest))
    index = _json({"schemaVersion": 2, "mediaType": _oci("image.index"), "manifests": manifests})
    with tarfile.open(target, "w") as layout:
        _add(layout, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(layout, "index.json", index)
        for digest, blob in blobs.items():
            _add(layout, f"blobs/{digest.replace(':', '/')}", blob)


def _layer(busybox: Path) -> bytes:
    buffer = io.BytesIO()
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for name, mode in _DIRECTORIES.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            layer.addfile(entry)
        _add(layer, "bin/busybox", busybox.read_bytes(), mode=0o755)
        for applet in applets:
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname, link.mode = tarfile.SYMTYPE, "busybox", 0o777
                layer.addfile(link)
        _add(layer, "bin/serve", _SERVE.encode(), mode=0o755)
        for name, text in _FILES.items():
            _add(layer, name, text.encode())
    return buffer.getvalue()


def _config(image: Image, layer: bytes) -> dict[str, Any]:
    return {
        "architecture": architecture(),
        "os": "linux",
        "config": {"Cmd": list(image.command), "Env": ["PATH=/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        "history": [{"created_by": "kasbah sandbox"}],
    }


def _manifest(config: bytes, layer: bytes) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": _oci("image.manifest"),
        "config": _descriptor(_oci("image.config"), config),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    }


def _named(image: Image, manifest: bytes) -> dict[str, Any]:
    names = {
        "io.containerd.image.name": image.name,
        "org.opencontainers.image.ref.name": image.name.rpartition(":")[2],
    }
    platform = {"os": "linux", "architecture": architecture()}
    return _descriptor(_oci("image.manifest"), manifest) | {"platform": platform, "annotations": names}


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _oci(kind: str) -> str:
    return f"application/vnd.oci.{kind}.v1+json"


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
