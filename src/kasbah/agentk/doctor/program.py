"""`agentk doctor`: arguments in, lines or JSON out, an exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from kasbah.agentk import settings as agentk_settings
from kasbah.agentk.doctor.cluster import ClusterHops
from kasbah.agentk.doctor.kas_hops import KasHops
from kasbah.agentk.doctor.tunnel import TunnelHops
from kasbah.agentk.kubernetes_api.module import KubernetesApi
from kasbah.agentk.reverse_tunnel.address import KasAddressError
from kasbah.agentk.reverse_tunnel.tls import tls_context
from kasbah.agentk.settings import AgentkSettings
from kasbah.errors import UserError
from kasbah.kit import logs
from kasbah.kit.doctor import rendering, runner
from kasbah.kit.doctor.check import Check, FaultError, Finding, Report
from kasbah.kit.doctor.rendering import Cleaner, Lines
from kasbah.kit.secrets import Secret
from kasbah.kube import kubeconfig
from kasbah.kube.access import ClusterAccess
from kasbah.kube.client import KubeClient
from kasbah.kube.pool import UpstreamPool
from kasbah.wire.native_tunnel.engine import PING_AFTER_S

_DURATION: Final = re.compile(r"(\d{1,4})(s|m)")
_LONGEST_IDLE_S: Final = 3600.0
_DESCRIPTION: Final = """\
Takes agentk's own way, hop by hop: the address, proxy, DNS, TCP and TLS to kas, the WebSocket, the token, the tunnel;
then the API server, who the agent is there and what it may do. Says what it does while it does it, names the first hop
that fails, and what to change. Changes nothing, and shows no secret.

It takes all of agentk's flags and its environment (`agentk --help`): give it the same ones. In a pod:

    kubectl -n kasbah exec deploy/agentk -- agentk doctor --kas-address=... --token-file=...

The tunnel that it opens is a second one of the same agent for a moment; requests that kas sends through it are served."""
_EPILOG: Final = "exit codes: 0 all is well (there may be warnings), 1 something is wrong, 2 wrong usage."


def run(arguments: Sequence[str], environment: Mapping[str, str], hostname: str, user_agent: str) -> int:
    """Look at everything; the exit code.

    Raises:
        SystemExit: after --help, and on flags that argparse refuses.
    """
    logs.configure("error")
    own, rest = _parser().parse_known_args(list(arguments))
    try:
        settings = agentk_settings.parse(rest, environment, hostname)
        access = kubeconfig.load(settings.kube, environment)
    except UserError as error:
        return _tell(own.output, [_unusable(error)], Cleaner(_secrets_in(environment)))
    clean = Cleaner([*_secrets_of(settings), *_secrets_in(environment)])
    return asyncio.run(_examine(settings, access, user_agent, own, clean))


async def _examine(
    settings: AgentkSettings,
    access: ClusterAccess,
    user_agent: str,
    own: argparse.Namespace,
    clean: Cleaner,
) -> int:
    lines = _lines(own.output, clean)
    try:
        context = tls_context(settings.tunnel) if settings.tunnel.address.tls else None
        kas = KasHops(settings.tunnel, context, user_agent)
    except UserError as error:
        report = await runner.examine([_unusable(error)], lines)
        return _finish(report, own.output, lines, clean)
    pool = UpstreamPool(access)
    cluster = KubernetesApi(access, pool, lambda: tunnel.own_agent_id)
    tunnel = TunnelHops(settings.tunnel, settings.token, cluster, user_agent)
    namespace = settings.kube.namespace or settings.pod.namespace
    checks = [
        *kas.checks(),
        *tunnel.checks(kas.last, own.idle),
        *ClusterHops(access, KubeClient(pool), namespace).checks(),
    ]
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(tunnel.run(), name="tunnel")
        await asyncio.sleep(0)  # so that connections to the API server can be made
        report = await runner.examine(checks, lines)
        await tunnel.leave()
        serving.cancel()
    return _finish(report, own.output, lines, clean)


def _tell(output: str, checks: list[Check], clean: Cleaner) -> int:
    lines = _lines(output, clean)
    return _finish(asyncio.run(runner.examine(checks, lines)), output, lines, clean)


def _lines(output: str, clean: Cleaner) -> Lines:
    """What is under way goes where a person looks, and never into a machine's JSON."""
    machine = output == "json"
    stream = sys.stderr if machine else sys.stdout

    def write(text: str) -> None:
        try:
            stream.write(text)
            stream.flush()
        except BrokenPipeError:  # whoever read us has enough (`| head`)
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    return Lines(write, clean, terminal=stream.isatty(), quiet=machine)


def _finish(report: Report, output: str, lines: Lines, clean: Cleaner) -> int:
    if output == "json":
        sys.stdout.write(rendering.render_json(report, clean) + "\n")
    lines.summary(report)
    return 1 if report.first_fault else 0


def _unusable(error: UserError) -> Check:
    """Nothing can be tried before the settings can be read."""
    about_address = isinstance(error, KasAddressError)
    fault = "address-unusable" if about_address else "settings-unusable"

    async def look() -> Finding:
        raise FaultError(fault, str(error), "see `agentk --help`") from error

    return Check(
        name="kas.address" if about_address else "settings",
        doing="read flags, files and environment",
        look=look,
    )


def _secrets_of(settings: AgentkSettings) -> list[Secret]:
    flags, proxies = settings.kube, settings.tunnel.proxy
    found = [settings.token, flags.token, flags.password, proxies.https_proxy, proxies.http_proxy]
    return [secret for secret in found if secret is not None]


def _secrets_in(environment: Mapping[str, str]) -> list[Secret]:
    return [Secret(environment.get(agentk_settings.TOKEN_VARIABLE, ""))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentk doctor",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--output",
        "-o",
        choices=("text", "json"),
        default="text",
        help="text for people, json for machines (default text)",
    )
    parser.add_argument(
        "--idle",
        type=_seconds,
        default=0.0,
        metavar="DURATION",
        help="also keep the tunnel idle for so long (70s, 5m) and see whether something on the way cuts it; "
        f"kas and agentk say something to each other every {PING_AFTER_S:.0f} s (over gRPC more seldom)",
    )
    return parser


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * (60.0 if match[2] == "m" else 1.0) if match else 0.0
    if not 0 < seconds <= _LONGEST_IDLE_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration up to an hour, such as 70s or 5m")
    return seconds
