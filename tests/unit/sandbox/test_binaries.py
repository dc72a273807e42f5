"""The recipes of the programs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sandbox.binaries import ALL, Repair


@pytest.mark.parametrize("name", ALL)
def test_every_program_has_a_pinned_version(name: str) -> None:
    assert ALL[name].version().startswith("v")
    assert ALL[name].version() != "v0.0.0"


def test_kubernetes_programs_know_their_version() -> None:
    command = " ".join(ALL["kube-apiserver"].build_arguments(Path("out")))
    assert "-X=k8s.io/component-base/version.gitVersion=v1.36.3" in command
    assert "-X=k8s.io/component-base/version.gitMinor=36" in command


def test_programs_of_one_module_share_a_directory_of_the_cache() -> None:
    assert ALL["kubectl"].key() == ALL["kubelet"].key() != ALL["etcd"].key()


def test_mending_a_program_changes_its_key() -> None:
    mended = dataclasses.replace(ALL["etcd"], repairs=(Repair(module="m", file="f", old="a", new="b"),))
    assert mended.key() != ALL["etcd"].key()


def test_only_runc_needs_a_c_compiler() -> None:
    assert [name for name, binary in ALL.items() if binary.cgo] == ["runc"]
