"""The flags of `kasbah up`, and the one secret it is given by its environment."""

from __future__ import annotations

import argparse
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kasbah.errors import UserError
from kasbah.kit.listening import Address, parse_address
from kasbah.kit.secrets import Secret
from kasbah.rpc.grpc_dial import GrpcAddress, parse_grpc_address

AuditChoice = Literal["all", "writes", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """The flags of `kasbah up`, read and checked."""

    data: Path
    """Where everything persistent lies."""
    http: Address
    """The public surface without TLS."""
    https: Address
    """The same surface with TLS; kubectl needs this one."""
    grpc: Address
    """Where agents may dial too, over gRPC or WebSockets."""
    observability: Address | None = None
    """Where `/metrics`, `/liveness` and `/readiness` are; None: the default address, if it is free."""
    external_url: str = ""
    """What people and agents use when it is not the https address."""
    tls_cert: Path | None = None
    """A certificate with its chain (PEM), instead of the local authority's."""
    tls_key: Path | None = None
    """Its key."""
    hostnames: tuple[str, ...] = ()
    """More names and addresses for the local authority's certificate."""
    kas_api: GrpcAddress | None = None
    """The internal API of a kas elsewhere that is to be told of pushes, too."""
    kas_api_secret_file: Path | None = None
    """The secret that kas knows its callers by; None: the one in the data directory."""
    audit: AuditChoice = "all"
    """Which requests to clusters the audit log holds: all, only those that may change something, or none."""
    audit_directory: Path
    """Where the audit log lies."""
    access_log: str = ""
    """Where one line a request to a cluster goes: a path, or `-` for stdout; empty: nowhere."""
    record_sessions: Path | None = None
    """Where exec and attach sessions are recorded; None: nowhere."""
    record_input: bool = False
    """Record what is typed, too."""
    explain_refusals: bool = True
    """Below a cluster's 403, tell people who they are there and what would allow the request."""
    database_url: Secret | None = None
    """PostgreSQL instead of SQLite; read from KASBAH_DATABASE_URL, because it holds a password."""


def parse(arguments: Sequence[str], environ: MutableMapping[str, str]) -> UpSettings:
    """Read the flags; what is secret is taken out of the environment, so that no child inherits it.

    Raises:
        UserError: an address is not one, or a certificate comes without its key.
    """
    parser = argparse.ArgumentParser(prog="kasbah up", description="hub and kas in one process")
    parser.add_argument("--data", type=Path, default=Path("kasbah-data"))
    parser.add_argument("--http", default="127.0.0.1:8080")
    parser.add_argument("--https", default="127.0.0.1:8443")
    parser.add_argument("--grpc", default="127.0.0.1:8150")
    parser.add_argument("--observability")
    parser.add_argument("--external-url", default="")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--hostname", action="append", default=[])
    parser.add_argument("--kas-api")
    parser.add_argument("--kas-api-secret-file", type=Path)
    parser.add_argument("--audit", choices=("all", "writes", "off"), default="all")
    parser.add_argument("--audit-directory", type=Path)
    parser.add_argument("--access-log", default="")
    parser.add_argument("--record-sessions", type=Path)
    parser.add_argument("--record-input", action="store_true")
    parser.add_argument("--explain-refusals", action=argparse.BooleanOptionalAction, default=True)
    flags = parser.parse_args(arguments)
    if (flags.tls_cert is None) != (flags.tls_key is None):
        raise UserError("--tls-cert and --tls-key belong together: give both or neither")
    if flags.kas_api_secret_file is not None and flags.kas_api is None:
        raise UserError("--kas-api-secret-file is for --kas-api: give that, too")
    if flags.record_input and flags.record_sessions is None:
        raise UserError("--record-input is for --record-sessions: give that, too")
    database_url = environ.pop("KASBAH_DATABASE_URL", "")
    return UpSettings(
        data=flags.data.absolute(),
        http=_address("--http", flags.http),
        https=_address("--https", flags.https),
        grpc=_address("--grpc", flags.grpc),
        observability=_address("--observability", flags.observability) if flags.observability else None,
        external_url=flags.external_url.rstrip("/"),
        tls_cert=flags.tls_cert,
        tls_key=flags.tls_key,
        hostnames=tuple(flags.hostname),
        kas_api=_kas_api(flags.kas_api) if flags.kas_api else None,
        kas_api_secret_file=flags.kas_api_secret_file,
        audit=flags.audit,
        audit_directory=(flags.audit_directory or flags.data / "audit").absolute(),
        access_log=flags.access_log,
        record_sessions=flags.record_sessions.absolute() if flags.record_sessions else None,
        record_input=flags.record_input,
        explain_refusals=flags.explain_refusals,
        database_url=Secret(database_url) if database_url else None,
    )


def _address(flag: str, text: str) -> Address:
    try:
        return parse_address(text)
    except UserError as error:
        raise UserError(f"{flag}: {error}") from error


def _kas_api(text: str) -> GrpcAddress:
    try:
        return parse_grpc_address(text)
    except UserError as error:
        raise UserError(f"--kas-api: {error}") from error
