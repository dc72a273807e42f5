"""`python -m demo`: tell the story; exit code 0 when all of it worked, 1 with what to look at when not."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import demo
import sandbox
from demo import keeping
from demo.errors import DeclinedError, StoryError
from demo.narrator import Narrator
from demo.shell import Shell, search_path
from demo.story import Stage, Story, commands_needed
from kasbah.errors import KasbahError
from kasbah.kit.secrets import scrub

_INTERRUPTED: Final = 130
_HOME_PREFIX: Final = "kasbah-demo-"
_PUBLIC_IMAGE: Final = "docker.io/library/busybox:1.37"
_PUBLIC_COMMAND: Final = (
    "sh -c 'echo hello from a pod > /tmp/index.html; httpd -p 8080 -h /tmp; "
    "n=0; while :; do n=$((n+1)); echo tick $n; sleep 1; done'"
)


def main() -> int:
    """Run, and turn what went wrong into words and an exit code."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if arguments.stop:
            return keeping.stop()
        if arguments.context and not arguments.yes:
            _ask(arguments.context)
        if arguments.keep and not arguments.held:
            return keeping.tell_and_detach(sys.argv[1:])
        return _tell(arguments)
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything it started was stopped", file=sys.stderr)
        return _INTERRUPTED
    except KasbahError as error:
        print(f"\ndemo: {scrub(str(error))}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=demo.__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything up, and say what to try")
    parser.add_argument("--stop", action="store_true", help="stop what --keep left up")
    parser.add_argument(
        "--context", default="", help="play in the cluster of this kubeconfig context instead"
    )
    parser.add_argument(
        "--image", default="", help="with --context: an image with sh and httpd (default: busybox)"
    )
    parser.add_argument("--node", choices=("auto", "kwok", "real"), default="auto", help="the sandbox's node")
    parser.add_argument(
        "--yes", action="store_true", help="do not ask before writing to the cluster of --context"
    )
    parser.add_argument("--held", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ask(context: str) -> None:
    print(
        f"The demo will make a namespace in the cluster of the context {context}, start pods in it and delete it."
    )
    if not sys.stdin.isatty():
        raise DeclinedError("there is nobody to ask; give --yes (make demo CONTEXT=… YES=1)")
    if input("Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
        raise DeclinedError("nothing was changed")


def _tell(arguments: argparse.Namespace) -> int:
    if missing := commands_needed():
        raise DeclinedError(f"{missing[0]} is not installed; on Debian: apt-get install {missing[0]}")
    narrator = Narrator(sys.stdout)
    with _home() as home, _cluster(arguments, narrator) as stage:
        shell = Shell(narrator, home, _environment(home, stage))
        story = Story(narrator, shell, stage)
        try:
            story.tell()
            narrator.summary()
            if arguments.keep:
                keeping.keep(narrator, story.what_to_try(), arguments.held)
        except StoryError as error:
            raise StoryError(f"{error}\n\nThe ends of the logs:\n{shell.logs()}") from error
        finally:
            story.end()
    return 0


@contextmanager
def _home() -> Iterator[Path]:
    for left in Path(tempfile.gettempdir()).glob(f"{_HOME_PREFIX}*"):
        if left.owner() == Path.home().owner() and not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)  # of a demo that was killed
    home = Path(tempfile.mkdtemp(prefix=f"{_HOME_PREFIX}{os.getpid()}-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _cluster(arguments: argparse.Namespace, narrator: Narrator) -> Iterator[Stage]:
    if arguments.context:
        with sandbox.existing(arguments.context) as theirs:
            narrator.say(f"The cluster is the one of your context {theirs.context}.")
            yield Stage(
                kubeconfig=theirs.admin_kubeconfig,
                kubectl=theirs.binary("kubectl"),
                image=arguments.image or _PUBLIC_IMAGE,
                command=_PUBLIC_COMMAND,
                namespace=f"kasbah-demo-{secrets.token_hex(3)}",
            )
        return
    with ExitStack() as stack:
        with narrator.chapter("A Kubernetes cluster that nobody can dial"):
            narrator.say("The sandbox builds the real programs once (minutes), then starts them in seconds.")
            cluster = stack.enter_context(sandbox.control_plane(arguments.node, purpose="the demo"))
            narrator.say(cluster.node_reason)
        yield Stage(
            kubeconfig=cluster.admin_kubeconfig, kubectl=cluster.binary("kubectl"), image=sandbox.IMAGE
        )


def _environment(home: Path, stage: Stage) -> dict[str, str]:
    """The demo's own home: nothing of the user's configuration is read or written."""
    programs = home / "bin"
    programs.mkdir()
    (programs / "kubectl").symlink_to(stage.kubectl)
    environment = {
        "HOME": str(home),
        "PATH": search_path(programs, Path(sys.executable).parent),
        "KUBECONFIG": str(home / ".kube/config"),
    }
    lines = [f"export {name}='{value}'\n" for name, value in environment.items()]
    (home / "env").write_text("".join([*lines, f"cd '{home}'\n"]))
    passed_on = {name: os.environ[name] for name in ("TERM", "LANG", "TMPDIR", "TZ") if name in os.environ}
    return {"LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1,localhost", **passed_on, **environment}


if __name__ == "__main__":
    sys.exit(main())
