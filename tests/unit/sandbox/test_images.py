"""Images made from scratch are whole OCI layouts."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sandbox import images, workload


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("images")
    busybox = directory / "busybox"
    busybox.write_text("#!/bin/sh\necho busybox; echo sh; echo cat\n")
    busybox.chmod(0o755)
    images.write(directory / "images.tar", busybox)
    with tarfile.open(directory / "images.tar") as archive:
        return {entry.name: _content(archive, entry) for entry in archive.getmembers()}


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry)
    assert file is not None
    return file.read()


def _blob(layout: dict[str, bytes], digest: str) -> Any:
    return json.loads(layout[f"blobs/{digest.replace(':', '/')}"])


def test_every_blob_is_what_its_name_says(layout: dict[str, bytes]) -> None:
    blobs = {name.rpartition("/")[2]: body for name, body in layout.items() if name.startswith("blobs/")}
    assert all(hashlib.sha256(body).hexdigest() == digest for digest, body in blobs.items())


def test_the_index_names_each_image(layout: dict[str, bytes]) -> None:
    manifests = json.loads(layout["index.json"])["manifests"]
    assert {one["annotations"]["io.containerd.image.name"] for one in manifests} == {
        workload.IMAGE,
        images.PAUSE,
    }


def test_the_images_share_one_layer_that_their_configurations_name(layout: dict[str, bytes]) -> None:
    manifests = [_blob(layout, one["digest"]) for one in json.loads(layout["index.json"])["manifests"]]
    layers = {manifest["layers"][0]["digest"] for manifest in manifests}
    named = {_blob(layout, manifest["config"]["digest"])["rootfs"]["diff_ids"][0] for manifest in manifests}
    assert layers == named
    assert len(layers) == 1


def test_the_layer_has_a_link_for_each_applet_and_a_temporary_directory(layout: dict[str, bytes]) -> None:
    manifest = _blob(layout, json.loads(layout["index.json"])["manifests"][0]["digest"])
    layer = layout[f"blobs/{manifest['layers'][0]['digest'].replace(':', '/')}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        entries = {entry.name: entry for entry in archive.getmembers()}
    assert entries["bin/cat"].linkname == "busybox"
    assert entries["tmp"].mode == 0o1777
    assert "bin/serve" in entries


def test_the_same_busybox_gives_the_same_bytes(tmp_path: Path, layout: dict[str, bytes]) -> None:
    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/sh\necho busybox; echo sh; echo cat\n")
    busybox.chmod(0o755)
    images.write(tmp_path / "images.tar", busybox)
    with tarfile.open(tmp_path / "images.tar") as archive:
        assert {entry.name for entry in archive.getmembers()} == set(layout)
