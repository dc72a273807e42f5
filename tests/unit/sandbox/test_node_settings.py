"""The files of a real node name only places of its own."""

from __future__ import annotations

import tomllib
from pathlib import Path

from sandbox import images, node_settings
from sandbox.address_range import Network, Range
from sandbox.node_settings import NodeSettings

_SETTINGS = NodeSettings(
    name="n",
    directory=Path("/tmp/c/node"),
    addresses=Range(whole=Network("10.7.0.0/16")),
    cgroup="/kasbah-sandbox-c",
    kubeconfig=Path("/tmp/c/admin.kubeconfig"),
)


def test_containerd_takes_our_runc_and_our_pause_image() -> None:
    config = tomllib.loads(node_settings.containerd(_SETTINGS, Path("/bin/runc"), Path("/usr/lib/cni")))
    runtime = config["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == "/bin/runc"
    assert config["plugins"]["io.containerd.cri.v1.images"]["pinned_images"]["sandbox"] == images.PAUSE
    assert config["root"].startswith("/tmp/c/node/")


def test_pods_get_addresses_of_the_range() -> None:
    plugin = node_settings.cni(_SETTINGS)["plugins"][0]
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.7.1.0/24"}]]


def test_the_kubelet_listens_on_the_cable_and_keeps_to_its_group() -> None:
    config = node_settings.kubelet(_SETTINGS)
    assert (config["address"], config["cgroupRoot"]) == ("10.7.0.2", "/kasbah-sandbox-c")


def test_the_proxy_knows_which_addresses_are_pods() -> None:
    assert node_settings.kube_proxy(_SETTINGS)["clusterCIDR"] == "10.7.1.0/24"
