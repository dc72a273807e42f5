"""`python -m sandbox`: a real Kubernetes control plane for people."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import sandbox
from kasbah.errors import KasbahError
from sandbox import build, places, progress, running, supervisor
from sandbox.binaries import ALL
from sandbox.running import About

_DESCRIPTION = """\
A real Kubernetes control plane on this machine: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and one
node. No container engine, no downloaded image: the programs are built once from pinned Go modules (about 6 minutes on
two cores, 10 with a real node and all clients) and kept in your cache; after that a cluster is up in about 5 seconds.
"""
_EPILOG = """\
examples:
  python -m sandbox up                     start one and leave it running; prints how to use it
  python -m sandbox up --node real         with a real kubelet, containerd and runc (root)
  python -m sandbox up --user alice:dev    also make a kubeconfig for alice, member of the group dev
  eval "$(python -m sandbox up -o env)"    start one (or find the running one) and point this shell at it
  python -m sandbox status                 what runs, and who holds it
  python -m sandbox down                   stop what `up` started, or the one named as status shows it
  python -m sandbox build                  only build the programs

A test asks for the pytest fixture `control_plane`; a program uses `with sandbox.control_plane() as cluster:`.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parses, runs, and turns an error into one sentence and an exit code: 2 when there is something to install."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except KasbahError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2 if isinstance(error, sandbox.CannotRunError) else 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start a cluster, or find the one that `up` started before")
    up.add_argument(
        "--node", choices=("kwok", "real", "auto"), default="auto", help="which kind (default: auto)"
    )
    up.add_argument(
        "--user", action="append", default=[], metavar="NAME[:GROUP,…]", help="a made-up person; repeatable"
    )
    up.add_argument(
        "--foreground", action="store_true", help="stay, and stop the cluster at Ctrl-C or SIGTERM"
    )
    up.add_argument("--another", action="store_true", help="start one even though one is running")
    up.add_argument("-o", "--output", choices=("text", "json", "env"), default="text")
    up.set_defaults(run=_up)
    down = commands.add_parser("down", help="stop what `up` started, and remove what killed runs left")
    down.add_argument(
        "cluster", nargs="?", metavar="NAME", help="the name that `status` shows (default: all by `up`)"
    )
    down.add_argument("--all", action="store_true", help="also stop clusters that tests and programs hold")
    down.set_defaults(run=_down)
    status = commands.add_parser("status", help="list what runs")
    status.add_argument("-o", "--output", choices=("text", "json"), default="text")
    status.set_defaults(run=_status)
    building = commands.add_parser("build", help="build the programs into the cache")
    building.add_argument(
        "program",
        nargs="*",
        metavar="PROGRAM",
        help=f"some of: {', '.join(ALL)} (default: all this machine can use)",
    )
    building.set_defaults(run=_build)
    return parser


def _up(arguments: argparse.Namespace) -> int:
    if arguments.foreground:
        return _stay(arguments)
    found = [about for about in running.everything() if about["purpose"] == running.BY_HAND]
    if found and not arguments.another:
        _show(found[-1], arguments.output)
        return 0
    sandbox.prepare(arguments.node)  # here, where somebody sees the progress
    return _detach(arguments)


def _stay(arguments: argparse.Namespace) -> int:
    told = threading.Event()

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.set()

    users = dict(_person(text) for text in arguments.user)
    with sandbox.control_plane(arguments.node, users=users, purpose=running.BY_HAND) as cluster:
        signal.signal(signal.SIGTERM, tell)
        about = dict(running.find(cluster))
        about["users"] = {name: str(cluster.kubeconfig_for(name, groups)) for name, groups in users.items()}
        _show(about, arguments.output)
        while cluster.alive() and not told.wait(0.5):
            pass
    return 0


def _detach(arguments: argparse.Namespace) -> int:
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "up",
        "--foreground",
        f"--node={arguments.node}",
        "-o",
        "json",
    ]
    command += [f"--user={user}" for user in arguments.user]
    with tempfile.TemporaryFile("w+") as words:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            start_new_session=True,
        )
        assert child.stdout is not None  # noqa: S101 - we asked for a pipe
        with child.stdout as answer:
            line = answer.readline()
        if not line:
            words.seek(0)
            sys.stderr.write(words.read())
            return child.wait()
    child.returncode = 0  # it lives on; nobody here waits for it
    _show(json.loads(line), arguments.output)
    return 0


def _person(text: str) -> tuple[str, tuple[str, ...]]:
    name, _, groups = text.partition(":")
    return name, tuple(group for group in groups.split(",") if group)


def _show(about: About, output: str) -> None:
    if output == "json":
        print(json.dumps(about), flush=True)
    elif output == "env":
        print(f"export KUBECONFIG={about['kubeconfig']}")
    else:
        print(_usage(about), flush=True)


def _usage(about: About) -> str:
    people = "".join(f"  {name}: {path}\n" for name, path in about.get("users", {}).items())
    return (
        f"A Kubernetes control plane runs at {about['api_server']}. {about['node_reason']}\n\n"
        f"  export KUBECONFIG={about['kubeconfig']}\n"
        f"  alias kubectl={about['kubectl']}\n\n"
        + (f"Made-up people:\n{people}\n" if people else "")
        + "Try:\n"
        "  kubectl get nodes\n"
        f"  kubectl run hello --image={about['image']} --image-pull-policy=Never\n"
        "  kubectl logs -f hello\n"
        "  kubectl exec -it hello -- sh\n\n"
        "Stop it with: python -m sandbox down"
    )


def _down(arguments: argparse.Namespace) -> int:
    everything = running.everything()
    chosen = [about for about in everything if _chosen(about, arguments)]
    stuck = 0
    for about in chosen:
        gone = running.stop(about)
        stuck += not gone
        print(f"{'stopped' if gone else 'could not stop'} {about['api_server']} ({about['purpose']})")
    for name in supervisor.sweep(places.clusters()):
        print(f"removed what a killed cluster left: {name}")
    if not chosen:
        others = (
            f"; {len(everything)} held by tests or programs (--all stops those, too)" if everything else ""
        )
        print(f"nothing to stop{others}")
    return min(stuck, 1)


def _chosen(about: About, arguments: argparse.Namespace) -> bool:
    if arguments.cluster is not None:
        return bool(about["name"] == arguments.cluster)
    return bool(arguments.all or about["purpose"] == running.BY_HAND)


def _status(arguments: argparse.Namespace) -> int:
    found = running.everything()
    if arguments.output == "json":
        print(json.dumps(found))
    elif not found:
        print("nothing runs; start a cluster with: python -m sandbox up")
    for about in found if arguments.output == "text" else []:
        since = progress.spell(time.time() - float(about["started"]))
        held = f"held by {about['purpose']} ({about['pid']})"
        print(f"{about['name']}  {about['api_server']}  {about['node']} node  up {since}  {held}")
        print(f"  export KUBECONFIG={about['kubeconfig']}")
    return 0


def _build(arguments: argparse.Namespace) -> int:
    unknown = [name for name in arguments.program if name not in ALL]
    if unknown:
        raise sandbox.CannotRunError(f"no program called {unknown[0]!r}; there are {', '.join(ALL)}")
    found = build.ensure([ALL[name] for name in arguments.program]) if arguments.program else _build_usable()
    for name, path in found.items():
        print(f"{name}: {path}")
    return 0


def _build_usable() -> dict[str, Path]:
    """Everything for KWOK nodes, the clients, and what a real node needs where one can run."""
    found = sandbox.prepare("kwok") | sandbox.clients()
    try:
        found |= sandbox.prepare("real")
    except sandbox.CannotRunError as error:
        print(f"sandbox: without the programs of a real node: {error}", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
