"""The configuration files of a real node's programs; each line that is not a default cost somebody a try."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import images
from sandbox.address_range import Range

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
KUBELET_ROOT = "/var/lib/kubelet"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What the files of one node have in common.

    Attributes:
        directory: where the node keeps its files; outside it nothing is written.
        cgroup: the control group everything of the node's pods lies in.
    """

    name: str
    directory: Path
    addresses: Range
    cgroup: str
    kubeconfig: Path


def containerd(settings: NodeSettings, runc: Path, cni_plugins: Path) -> str:
    """config.toml: our runc, our pause image, no privilege the machine's root may lack."""
    return f"""\
version = 3
root = '{settings.directory}/containerd'
state = '/run/containerd'
disabled_plugins = [
  'io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri', 'io.containerd.image-verifier.v1.bindir',
  'io.containerd.tracing.processor.v1.otlp', 'io.containerd.snapshotter.v1.blockfile',
]
[grpc]
  address = '{CONTAINERD_SOCKET}'
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '{images.PAUSE}'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  cdi_spec_dirs = []
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['{cni_plugins}']
    conf_dir = '{settings.directory}/cni'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = '{runc}'
      SystemdCgroup = false
"""


def cni(settings: NodeSettings) -> dict[str, Any]:
    """One routed cable a pod: unlike a bridge it needs no kernel module for Services between pods of one node."""
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": settings.addresses.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return {"cniVersion": "1.0.0", "name": "sandbox", "plugins": plugins}


def kubelet(settings: NodeSettings) -> dict[str, Any]:
    """KubeletConfiguration for a node without swap rules, evictions or image collection, on either kind of cgroups."""
    nothing = {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%"}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": settings.addresses.node,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": settings.cgroup,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "enforceNodeAllocatable": [],
        "evictionHard": nothing,
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "oomScoreAdj": 0,
        "resolvConf": "",
        "syncFrequency": "10s",
    }


def kube_proxy(settings: NodeSettings) -> dict[str, Any]:
    """KubeProxyConfiguration that touches no setting of connection tracking."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(settings.kubeconfig)},
        "clusterCIDR": settings.addresses.pods,
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": settings.name,
        "mode": "iptables",
        "oomScoreAdj": 0,
    }
