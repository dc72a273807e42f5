"""A Redis of our own for the tests: Debian's program, a loopback port, nothing on disk; it can be stopped and started."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kasbah.kas.redis.client import RedisClient
from kasbah.kas.redis.settings import RedisSettings
from kasbah.kit.secrets import Secret


def program() -> str:
    """redis-server's path; skips where it is not installed."""
    found = shutil.which("redis-server") or shutil.which("redis-server", path="/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip("no redis-server: install Debian's redis-server (tools/install-system-packages test)")
    return found


def free_port() -> int:
    """A loopback port nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


@dataclass
class RedisServer:
    """One server; its memory does not outlive `stop`."""

    directory: Path
    password: str = ""
    options: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket_path(self) -> Path:
        return self.directory / "redis.sock"

    def settings(self, **changes: object) -> RedisSettings:
        """How a client reaches it."""
        given: dict[str, object] = {
            "addresses": (f"127.0.0.1:{self.port}",),
            "password": Secret(self.password),
        }
        return RedisSettings(**(given | changes))  # type: ignore[arg-type]

    def start(self) -> None:
        """Until it takes connections."""
        argv = [program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        argv += ["--save", "", "--appendonly", "no", "--unixsocket", str(self.socket_path)]
        argv += ["--requirepass", self.password] if self.password else []
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen([*argv, *self.options], stdout=log, stderr=log)
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)  # noqa: TID251 - a program of the machine's is starting; nothing else runs here
        raise TimeoutError((self.directory / "redis.log").read_text())

    def stop(self) -> None:
        """At once, as a crash would."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """Connections stay, nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            os.kill(self.process.pid, number)


@contextmanager
def running_server(password: str = "", options: tuple[str, ...] = ()) -> Iterator[RedisServer]:
    """A server for the length of the block."""
    program()
    with tempfile.TemporaryDirectory(prefix="kasbah-redis-") as directory:
        server = RedisServer(Path(directory), password, options)
        server.start()
        try:
            yield server
        finally:
            server.thaw()
            server.stop()


@asynccontextmanager
async def client_of(settings: RedisSettings) -> AsyncIterator[RedisClient]:
    """A client whose connections are closed at the end."""
    client = RedisClient(settings)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(client.run())
        await asyncio.sleep(0)
        try:
            yield client
        finally:
            running.cancel()
