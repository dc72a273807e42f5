"""The programs the sandbox is made of: which Go module each comes from, how it is built, about how long that takes.

The pinned versions are the go.mod and go.sum files in `modules/`; other versions of these modules are often missing from
the Go module proxy, so change them only together with a build from an empty cache.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

_MODULES = Path(__file__).with_name("modules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """A fault of a pinned version, mended while it is compiled: in `file` of `module`, `old` becomes `new`."""

    module: str
    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """One program and its recipe.

    Attributes:
        stamps: variables the linker sets; `{version}` is the version pinned in go.mod.
        about_s: seconds a build takes on two cores with nothing cached, for the progress display only.
    """

    name: str
    module: str
    package: str
    about_s: int
    stamps: tuple[str, ...] = ()
    tags: str = ""
    cgo: bool = False
    repairs: tuple[Repair, ...] = ()

    @property
    def module_directory(self) -> Path:
        return _MODULES / self.module

    def version(self) -> str:
        """The version go.mod pins of the module this package belongs to."""
        owner = re.sub(r"/cmd/.*$", "", self.package)
        text = (self.module_directory / "go.mod").read_text()
        found = re.search(rf"^(?:require)?\s*{re.escape(owner)} (v\S+)", text, re.MULTILINE)
        return found[1] if found else "v0.0.0"

    def build_arguments(self, output: Path) -> list[str]:
        """The arguments of `go` that build this program to `output`, run beside a copy of its go.mod."""
        linker = ["-s", "-w", *(f"-X={stamp}" for stamp in self._stamps())]
        tags = ["-tags", self.tags] if self.tags else []
        recipe = ["build", "-mod=mod", "-trimpath", "-buildvcs=false", *tags, "-ldflags", " ".join(linker)]
        return [*recipe, "-o", str(output), self.package]

    def key(self) -> str:
        """Names the directory of the cache: the module and the hash of everything that decides the result."""
        digest = hashlib.sha256()
        for name in ("go.mod", "go.sum"):
            digest.update((self.module_directory / name).read_bytes())
        digest.update(repr(self.repairs).encode() if self.repairs else b"")
        return f"{self.module}-{digest.hexdigest()[:16]}"

    def _stamps(self) -> list[str]:
        version = self.version()
        major, minor, *_ = version.removeprefix("v").split(".")
        return [stamp.format(version=version, major=major, minor=minor) for stamp in self.stamps]


_KUBERNETES_STAMPS = tuple(
    f"{package}.{variable}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for variable in ("gitVersion={version}", "gitMajor={major}", "gitMinor={minor}", "gitTreeState=clean")
)


def _kubernetes(name: str, about_s: int) -> Binary:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Binary(name=name, module="kubernetes", package=package, about_s=about_s, stamps=_KUBERNETES_STAMPS)


def _containerd(name: str, about_s: int) -> Binary:
    owner = "github.com/containerd/containerd/v2"
    stamps = (f"{owner}/version.Version={{version}}",)
    tags = "no_btrfs no_devmapper no_zfs"
    return Binary(
        name=name,
        module="containerd",
        package=f"{owner}/cmd/{name}",
        about_s=about_s,
        stamps=stamps,
        tags=tags,
    )


CONTROL_PLANE = (
    Binary(name="etcd", module="etcd", package="go.etcd.io/etcd/server/v3", about_s=24),
    _kubernetes("kube-apiserver", 206),
    _kubernetes("kube-controller-manager", 60),
    _kubernetes("kube-scheduler", 4),
    _kubernetes("kubectl", 18),
)

# Without this a `kubectl exec -i` never ends: the command waits for the end of its input for ever.
_KWOK_CLOSES_STDIN = Repair(
    module="sigs.k8s.io/kwok",
    file="pkg/utils/exec/exec.go",
    old="_, _ = io.Copy(inPipe, opt.In)",
    new="_, _ = io.Copy(inPipe, opt.In)\n\t\t\t\t_ = inPipe.Close()",
)

# Without this every failing command ends as "Internal error" with 1 instead of its own exit code.
_KWOK_EXIT_CODE = Repair(
    module="sigs.k8s.io/kwok",
    file="pkg/utils/exec/exec.go",
    old="""\t\terr = cmd.Wait()
\t\tif err != nil {
""",
    new="""\t\terr = cmd.Wait()
\t\tif exited, ok := err.(*exec.ExitError); ok {
\t\t\treturn nil, exitError{exited}
\t\t}
\t\tif err != nil {
""",
)
_KWOK_EXIT_TYPE = Repair(
    module="sigs.k8s.io/kwok",
    file="pkg/utils/exec/exec.go",
    old="type Cmd = exec.Cmd\n",
    new="""type Cmd = exec.Cmd

type exitError struct{ *exec.ExitError }

func (e exitError) ExitStatus() int { return e.ExitCode() }
""",
)

KWOK = (
    Binary(
        name="kwok",
        module="kwok",
        package="sigs.k8s.io/kwok/cmd/kwok",
        about_s=55,
        stamps=("sigs.k8s.io/kwok/pkg/consts.Version={version}",),
        repairs=(_KWOK_CLOSES_STDIN, _KWOK_EXIT_CODE, _KWOK_EXIT_TYPE),
    ),
)

REAL_NODE = (
    _kubernetes("kubelet", 15),
    _kubernetes("kube-proxy", 20),
    _containerd("containerd", 40),
    _containerd("containerd-shim-runc-v2", 8),
    _containerd("ctr", 6),
    Binary(
        name="runc",
        module="runc",
        package="github.com/opencontainers/runc",
        about_s=9,
        stamps=("main.version={version}",),
        tags="seccomp",
        cgo=True,
    ),
)

CLIENTS = (
    Binary(
        name="kubectl-1.31",
        module="kubectl-1.31",
        package="k8s.io/kubernetes/cmd/kubectl",
        about_s=80,
        stamps=_KUBERNETES_STAMPS,
    ),
    Binary(
        name="helm",  # its go.mod names the cluster's own version of k8s.io/…, so that is compiled once for both
        module="helm",
        package="helm.sh/helm/v4/cmd/helm",
        about_s=90,
        stamps=("helm.sh/helm/v4/internal/version.version={version}",),
    ),
)
"""What people talk to clusters with, besides the kubectl of the control plane; no cluster needs them."""

ALL = {binary.name: binary for binary in (*CONTROL_PLANE, *KWOK, *REAL_NODE, *CLIENTS)}
