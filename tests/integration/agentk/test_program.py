"""agentk as a process, as far as it gets without a kas."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator

import pytest

KAS = "--kas-address=ws://127.0.0.1:1/"
SERVER = "--server=http://127.0.0.1:2"
PROBES = "--observability-listen-address=127.0.0.1:0"


@contextlib.asynccontextmanager
async def agentk(*arguments: str, token: str = "glagent-abc") -> AsyncIterator[asyncio.subprocess.Process]:  # noqa: S107
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kasbah.agentk", *arguments),
        env={"PATH": os.environ["PATH"], "AGENTK_TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.communicate()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), b"--kas-address is required"),
        ((KAS,), b"no Kubernetes API server is configured"),
        ((KAS, "--kubeconfig=/nowhere"), b"cannot read the kubeconfig"),
        ((KAS, "--frobnicate"), b"unrecognized arguments"),
        ((KAS, SERVER, "--observability-listen-address=nonsense"), b"HOST:PORT"),
    ],
)
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_what_cannot_be_used_is_said_and_ends_with_2(arguments: tuple[str, ...], words: bytes):
    async with agentk(*arguments) as program:
        _, said = await program.communicate()
    assert words in said
    assert b"Traceback" not in said
    assert program.returncode == 2


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_signal_stops_it_with_0_though_kas_is_away():
    async with agentk(KAS, SERVER, PROBES) as program, asyncio.timeout(15):
        assert program.stderr is not None
        while b"attempt failed" not in await program.stderr.readline():
            pass
        program.send_signal(signal.SIGTERM)
        assert await program.wait() == 0


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_the_log_never_shows_the_token():
    async with agentk(KAS, SERVER, PROBES, token="glagent-very-secret") as program:
        assert program.stderr is not None
        lines = [await program.stderr.readline() for _ in range(3)]
    assert b"very-secret" not in b"".join(lines)
