"""The program `agentk`: arguments and environment in, an exit code out."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import structlog

from kasbah import __version__
from kasbah.agentk import settings as agentk_settings
from kasbah.agentk.app import USER_AGENT, Agentk
from kasbah.agentk.settings import AgentkSettings
from kasbah.errors import Bug, KasbahError, UserError
from kasbah.kit import logs, loop
from kasbah.kit.secrets import scrub
from kasbah.kube import kubeconfig
from kasbah.kube.access import ClusterAccess

_log = structlog.get_logger()

EXIT_FAILED = 1
EXIT_UNUSABLE = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run agentk until SIGTERM or SIGINT; a second signal does not wait for the drain."""
    if sys.argv[1:2] == ["doctor"]:
        sys.exit(_doctor(sys.argv[2:]))
    logs.configure()
    try:
        settings = agentk_settings.parse(sys.argv[1:], os.environ, socket.gethostname())
        access = kubeconfig.load(settings.kube, os.environ)
    except UserError as error:
        sys.stderr.write(f"agentk: {scrub(str(error))}\n")
        sys.exit(EXIT_UNUSABLE)
    # Whatever we start need not see it. (Who may read /proc/PID/environ sees it as it was: a file is the better place.)
    os.environ.pop(agentk_settings.TOKEN_VARIABLE, None)
    sys.exit(_run(settings, access))


def _doctor(arguments: list[str]) -> int:
    from kasbah.agentk.doctor import program  # noqa: PLC0415 - nothing of it is loaded by an agentk that serves

    try:
        return program.run(arguments, os.environ, socket.gethostname(), USER_AGENT)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(settings: AgentkSettings, access: ClusterAccess) -> int:
    _log.info("agentk starts", version=__version__, api_server=access.authority, pod=settings.pod.name)
    code = 0
    try:
        loop.run(_serve(settings, access))
    except* UserError as group:
        code = _report(group, EXIT_UNUSABLE)
    except* (KasbahError, OSError) as group:
        code = _report(group, EXIT_FAILED)
    except* (KeyboardInterrupt, asyncio.CancelledError):
        _log.warning("stopped at once")
        code = EXIT_FAILED
    return code


async def _serve(settings: AgentkSettings, access: ClusterAccess) -> None:
    running_loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    serving = asyncio.current_task()

    def signalled() -> None:
        if stop.is_set() and serving is not None:
            serving.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        running_loop.add_signal_handler(number, signalled)
    await Agentk(settings, access).run(stop)


def _report(group: BaseExceptionGroup[BaseException], code: int) -> int:
    for error in _leaves(group):
        _log.error("agentk failed", error=str(error), bug=isinstance(error, Bug))
    return code


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


if __name__ == "__main__":
    main()
