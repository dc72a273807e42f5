"""A real nginx on loopback, as long as a test runs: a second opinion on HTTP, or a proxy with faults."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

EXECUTABLE = shutil.which("nginx") or "/usr/sbin/nginx"
_CONFIG = """
{user}
daemon off;
pid {directory}/nginx.pid;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  {http}
}}
"""


@contextlib.contextmanager
def nginx(directory: Path, port: int, http: str) -> Iterator[None]:
    """Run nginx until the block ends; `http` is what stands in its `http` block, a server on `port` among it."""
    # Started by root, nginx would hand its workers to somebody who cannot read our files.
    user = "user root root;" if os.geteuid() == 0 else ""
    config = directory / "nginx.conf"
    config.write_text(_CONFIG.format(user=user, directory=directory, http=http))
    log = directory / "error.log"
    with subprocess.Popen([EXECUTABLE, "-c", config, "-p", directory, "-e", log]) as process:
        try:
            _wait_for(port, process, log)
            yield
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, f"nginx did not start: {log.read_text()}"
        time.sleep(0.01)  # noqa: TID251 - another program, and nothing tells when it listens
    raise AssertionError(f"nginx does not listen on {port}: {log.read_text()}")
