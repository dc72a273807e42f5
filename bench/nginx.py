"""nginx twice: as the API server that answers from memory, and as the peer, a reverse proxy one hop before it.

One worker each, nginx's own default: kas and agentk have one core each at most, too.
"""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import BenchError
from bench.pods import pod_list
from bench.processes import answers
from sandbox import ports
from sandbox.processes import Processes

SMALL = "/api/v1/namespaces/default/pods"
"""2 KiB, a short list of pods."""
BULK = "/api/v1/pods"
"""5 MiB, a long one."""
_BODIES = {SMALL: 2 * 1024, BULK: 5 * 1024 * 1024}

_CONFIG = """
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type application/json;
  {servers}
}}
"""
_STATIC = """
  open_file_cache max=100;
  server {{
    listen 127.0.0.1:{port};
    root {directory}/files;
    {more}
  }}
"""
_ECHO = """
    location ~ /exec$ {{
      proxy_pass http://127.0.0.1:{echo};
      proxy_http_version 1.1;
      proxy_set_header Connection "Upgrade";
      proxy_set_header Upgrade $http_upgrade;
    }}
"""
_PROXY = """
  upstream api {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://api;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
"""


class Nginx:
    """One running nginx."""

    def __init__(self, processes: Processes, name: str, port: int, servers: str) -> None:
        directory = processes.directory / name
        directory.mkdir(exist_ok=True)
        config = directory / "nginx.conf"
        # Started by root, nginx would hand its workers to somebody who cannot read our files.
        user = "user root root;" if os.geteuid() == 0 else ""
        config.write_text(_CONFIG.format(user=user, directory=directory, servers=servers))
        self.port = port
        self.pid = processes.start(
            name, [_executable(), "-c", config, "-p", directory, "-e", directory / "error.log"]
        )
        processes.wait_until(lambda: answers(port), f"{name} listens", timeout_s=5, expecting=[name])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


def start_upstream(processes: Processes, port: int | None = None, *, echo: int | None = None) -> Nginx:
    """The API server's stand-in, at this port or a free one; an exec goes on to the port `echo`."""
    directory = processes.directory / "upstream"
    for path, size in _BODIES.items():
        file = directory / "files" / path.strip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pod_list(size))
    at = port or ports.free(1)[0]
    more = _ECHO.format(echo=echo) if echo else ""
    return Nginx(processes, "upstream", at, _STATIC.format(port=at, directory=directory, more=more))


def start_proxy(processes: Processes, upstream: Nginx) -> Nginx:
    """The peer."""
    (port,) = ports.free(1)
    return Nginx(processes, "proxy", port, _PROXY.format(port=port, upstream=upstream.port))


def _executable() -> Path:
    for place in ("/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"):
        if Path(place).exists():
            return Path(place)
    raise BenchError("nginx is not installed: tools/install-system-packages bench")
