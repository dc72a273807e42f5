"""`kasbah up`: hub and kas in one process.

The wing that composes them lies above this one, so this process turns into it instead of importing it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kasbah.cli.errors import UsageError


def up(
    *,
    data: Path = Path("kasbah-data"),
    http: str = "127.0.0.1:8080",
    https: str = "127.0.0.1:8443",
    grpc: str = "127.0.0.1:8150",
    observability: str = "",
    external_url: str = "",
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    hostname: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    kas_api: str = "",
    kas_api_secret_file: Path | None = None,
    audit: Literal["all", "writes", "off"] = "all",
    audit_directory: Path | None = None,
    access_log: str = "",
    record_sessions: Path | None = None,
    record_input: Annotated[bool, Parameter(negative="")] = False,
    explain_refusals: bool = True,
) -> None:
    """Run everything on this machine until stopped: hub and kas in one process.

    The first start makes the administrator `root` with a token in DATA/root-token, and a local certificate authority in
    DATA/ca.crt unless a certificate is given. One JSON line with the URLs on stdout says that it is ready. With port 0
    the system chooses one.

    Args:
        data: Where everything persistent lies; made when missing.
        http: Address and port of the public surface over plain http.
        https: The same surface over https; kubectl needs this one.
        grpc: Address and port for agents that dial grpc://.
        observability: Where /metrics, /liveness and /readiness are; 127.0.0.1:8151, if that is free, when not given.
        external_url: The URL that people and agents use when it is not the https address (a proxy in front, a name).
        tls_cert: A PEM certificate with its chain, instead of the local authority's.
        tls_key: Its key.
        hostname: Another name or address in the local certificate; may be repeated.
        kas_api: The internal API of a kas elsewhere that is told of pushes, too: grpc://HOST:PORT or grpcs://HOST:PORT.
        kas_api_secret_file: The secret that kas knows its callers by, when it is not the one in DATA/kas-secret.
        audit: Which requests to clusters the audit log holds: all, only those that may change something, or none.
        audit_directory: Where the audit log lies; DATA/audit when not given.
        access_log: Where one line of JSON a request to a cluster goes: a path, or - for stdout; nowhere when not given.
        record_sessions: A directory where exec and attach sessions are recorded, a file each; nowhere when not given.
        record_input: Record what is typed, too; passwords are typed.
        explain_refusals: Below a cluster's 403, tell people who they are there and what would allow the request.
    """
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together: give both or neither")
    arguments = ["--data", str(data), "--http", http, "--https", https, "--grpc", grpc]
    if observability:
        arguments += ["--observability", observability]
    if external_url:
        arguments += ["--external-url", external_url]
    if tls_cert is not None and tls_key is not None:
        arguments += ["--tls-cert", str(tls_cert), "--tls-key", str(tls_key)]
    for name in hostname:
        arguments += ["--hostname", name]
    if kas_api:
        arguments += ["--kas-api", kas_api]
    if kas_api_secret_file is not None:
        arguments += ["--kas-api-secret-file", str(kas_api_secret_file)]
    arguments += ["--audit", audit]
    if audit_directory is not None:
        arguments += ["--audit-directory", str(audit_directory)]
    if access_log:
        arguments += ["--access-log", access_log]
    if record_sessions is not None:
        arguments += ["--record-sessions", str(record_sessions)]
    if record_input:
        arguments.append("--record-input")
    if not explain_refusals:
        arguments.append("--no-explain-refusals")
    os.execv(sys.executable, [sys.executable, "-m", "kasbah.up", *arguments])  # noqa: S606 - no shell is wanted
