"""What agentk is told by flags and environment: GitLab's names, defaults and error texts.

Pure: `__main__` passes the arguments and the environment in, and takes the token out of the environment.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kasbah import __version__
from kasbah.agentk.reverse_tunnel.address import KasAddressError, parse_kas_address
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.errors import UserError
from kasbah.kit.http_proxy import ProxySettings
from kasbah.kit.secrets import Secret
from kasbah.kube.kubeconfig import KubeFlags

TOKEN_VARIABLE: Final = "AGENTK_TOKEN"  # noqa: S105 - a name, not a token
DEFAULT_OBSERVABILITY_ADDRESS: Final = ":8080"
_MAX_TOKEN_BYTES: Final = 4096
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x20-\x7e]*?)[ \t]*")
_NO_METADATA: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-type",
        "host",
        "keep-alive",
        "te",
        "transfer-encoding",
        "upgrade",
    }
    | {"proxy-connection", "user-agent"}
)
"""What HTTP/2 forbids, and what is ours to say."""
_METADATA = re.compile(r"(?!grpc-)[a-z0-9_.\-]+(?<!-bin)")
_TOKEN = re.compile(r"[\x21-\x7e]+")

_DESCRIPTION: Final = """\
agentk runs in (or beside) a Kubernetes cluster and keeps a connection to kas open, so that people, pipelines and Git
repositories reach a cluster that nobody can dial. It needs to know two things: where kas is, and the agent's token
(`kasbah agent token create` prints one). Which cluster it serves follows kubectl's rules: --kubeconfig, else
$KUBECONFIG, else ~/.kube/config, else the pod's own service account."""

_EPILOG: Final = """\
examples:
  In a pod, with the token from a Secret:
    agentk --kas-address=wss://kas.example.com/-/kubernetes-agent/ --token-file=/etc/agentk/secrets/token
  With GitLab's kas:
    agentk --kas-address=grpcs://kas.gitlab.example.com:8150 --token-file=/etc/agentk/secrets/token
  Beside a cluster, on a laptop:
    agentk --kas-address=ws://127.0.0.1:8080/-/kubernetes-agent/ --token-file=token --kubeconfig=$HOME/.kube/config
  It does not connect? Look at its way hop by hop, with the same flags:
    agentk doctor --kas-address=... --token-file=...

environment:
  AGENTK_TOKEN                the agent's token, instead of --token-file
  POD_NAMESPACE, POD_NAME     required in a cluster; elsewhere `default` and the host's name
  SERVICE_ACCOUNT_NAME        the service account of the pod
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY   the way to kas, whatever its scheme

exit codes: 0 stopped by a signal, 1 something failed while running, 2 flags or files cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservabilitySettings:
    network: str = "tcp"
    """`tcp`, `tcp4`, `tcp6` or `unix`."""
    address: str = DEFAULT_OBSERVABILITY_ADDRESS
    """`HOST:PORT`, `:PORT`, or the path of a Unix socket."""
    address_given: bool = False
    """False: a taken port is not an error, because nobody asked for it."""
    certificate_file: Path | None = None
    """A certificate, to answer over TLS (`--observability-cert-file`)."""
    key_file: Path | None = None
    """Its key (`--observability-key-file`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodIdentity:
    """Which pod this is, as the list of connected agents shows it."""

    namespace: str
    name: str
    service_account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentkSettings:
    token: Secret
    """The agent's token, from `--token-file` or AGENTK_TOKEN."""
    tunnel: ReverseTunnelSettings
    """How to reach kas."""
    kube: KubeFlags
    """How to reach the API server: kubectl's flags."""
    observability: ObservabilitySettings
    """Where probes and metrics answer."""
    pod: PodIdentity
    """Which pod this is, by POD_NAMESPACE, POD_NAME and SERVICE_ACCOUNT_NAME."""
    drain_timeout_s: float = 10.0
    """After SIGTERM, how long running requests may go on, in seconds."""


def parse(arguments: Sequence[str], environment: Mapping[str, str], hostname: str) -> AgentkSettings:
    """The settings.

    Raises:
        UserError: they cannot be used.
        SystemExit: after --help and --version, and on flags that argparse refuses.
    """
    flags = _parser().parse_args(list(arguments))
    return AgentkSettings(
        token=_token(flags.token_file, environment),
        tunnel=_tunnel(flags, environment),
        kube=_kube(flags),
        observability=_observability(flags),
        pod=_pod(flags, environment, hostname),
    )


def _token(token_file: str, environment: Mapping[str, str]) -> Secret:
    from_environment = environment.get(TOKEN_VARIABLE, "")
    if token_file and from_environment:
        raise UserError(
            "unable to use both token file and AGENTK_TOKEN environment variable to set the agent token"
        )
    if not token_file and not from_environment:
        raise UserError(
            "agent token not set. Please set either token file or AGENTK_TOKEN environment variable"
        )
    token, source = from_environment, "AGENTK_TOKEN"
    if token_file:
        token, source = _read_token(Path(token_file)), f"the token file {token_file}"
    if len(token) > _MAX_TOKEN_BYTES or _TOKEN.fullmatch(token) is None:
        raise UserError(f"{source} does not hold an agent token: it must be one line of printable characters")
    return Secret(token)


def _read_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_TOKEN_BYTES + 2).decode("ascii")
    except OSError as error:
        raise UserError(f"token file: {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"the token file {path} does not hold an agent token: it is not text") from error
    return text.removesuffix("\n")


def _tunnel(flags: argparse.Namespace, environment: Mapping[str, str]) -> ReverseTunnelSettings:
    if not flags.kas_address:
        raise KasAddressError("--kas-address is required: the address of kas, such as wss://kas.example.com")
    address, choice = parse_kas_address(flags.kas_address), TunnelChoice(flags.kas_tunnel)
    if address.grpc and choice is TunnelChoice.NATIVE:
        raise UserError(
            "--kas-tunnel=native needs a ws:// or wss:// address: grpc:// is GitLab's tunnel only"
        )
    headers = tuple(_header(text) for text in flags.kas_header)
    if address.grpc:
        _check_metadata(headers)
    certificate, key = _pair(flags.kas_client_cert_file, flags.kas_client_key_file, "--kas-client")
    return ReverseTunnelSettings(
        address=address,
        tunnel=choice,
        ca_file=_existing(flags.kas_ca_cert_file, "--kas-ca-cert-file"),
        client_certificate_file=certificate,
        client_key_file=key,
        insecure_skip_tls_verify=flags.kas_insecure_skip_tls_verify,
        tls_server_name=flags.kas_tls_server_name,
        headers=headers,
        proxy=ProxySettings(
            https_proxy=Secret(_variable(environment, "HTTPS_PROXY")),
            http_proxy=Secret(_variable(environment, "HTTP_PROXY")),
            no_proxy=_variable(environment, "NO_PROXY"),
        ),
    )


def _variable(environment: Mapping[str, str], name: str) -> str:
    """Upper case first, then lower, as Go reads them."""
    return environment.get(name) or environment.get(name.lower(), "")


def _header(text: str) -> tuple[str, str]:
    if (match := _HEADER.fullmatch(text)) is None:
        raise UserError(
            f'invalid header supplied: {text.partition(":")[0]!r}: it must look like "Name: value"'
        )
    return match[1], match[2]


def _check_metadata(headers: Sequence[tuple[str, str]]) -> None:
    for name, _ in headers:
        if name.lower() in _NO_METADATA or _METADATA.fullmatch(name.lower()) is None:
            raise UserError(
                f"invalid header supplied: {name!r}: with a grpc address it is a call's metadata, "
                "and that may not have this name"
            )


def _pair(certificate: str, key: str, flags: str) -> tuple[Path | None, Path | None]:
    if bool(certificate) != bool(key):
        raise UserError(f"{flags}-cert-file and {flags}-key-file go together: give both or neither")
    return _existing(certificate, f"{flags}-cert-file"), _existing(key, f"{flags}-key-file")


def _existing(path: str, flag: str) -> Path | None:
    if not path:
        return None
    if not Path(path).is_file():
        raise UserError(f"{flag}: there is no file {path}")
    return Path(path)


def _kube(flags: argparse.Namespace) -> KubeFlags:
    return KubeFlags(
        kubeconfig=flags.kubeconfig,
        context=flags.context,
        cluster=flags.cluster,
        user=flags.user,
        namespace=flags.namespace,
        server=flags.server,
        token=Secret(flags.token) if flags.token else None,
        username=flags.username,
        password=Secret(flags.password) if flags.password else None,
        certificate_authority=flags.certificate_authority,
        client_certificate=flags.client_certificate,
        client_key=flags.client_key,
        insecure_skip_tls_verify=flags.insecure_skip_tls_verify,
        tls_server_name=flags.tls_server_name,
        as_user=flags.as_user,
        as_groups=tuple(flags.as_group),
        as_uid=flags.as_uid,
    )


def _observability(flags: argparse.Namespace) -> ObservabilitySettings:
    certificate, key = _pair(flags.observability_cert_file, flags.observability_key_file, "--observability")
    return ObservabilitySettings(
        network=flags.observability_listen_network,
        address=flags.observability_listen_address or DEFAULT_OBSERVABILITY_ADDRESS,
        address_given=bool(flags.observability_listen_address),
        certificate_file=certificate,
        key_file=key,
    )


def _pod(flags: argparse.Namespace, environment: Mapping[str, str], hostname: str) -> PodIdentity:
    in_cluster = "KUBERNETES_SERVICE_HOST" in environment and not flags.kubeconfig
    namespace, name = environment.get("POD_NAMESPACE", ""), environment.get("POD_NAME", "")
    for variable, value in (("POD_NAMESPACE", namespace), ("POD_NAME", name)):
        if in_cluster and not value:
            raise UserError(f"{variable} environment variable is required but is empty")
    return PodIdentity(
        namespace=namespace or "default",
        name=name or hostname,
        service_account=environment.get("SERVICE_ACCOUNT_NAME", ""),
    )


# Flags


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentk",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"agentk version v{__version__}")
    _add_kas_flags(parser.add_argument_group("kas", "where kas is and who we are"))
    _add_observability_flags(parser.add_argument_group("observability", "probes and metrics"))
    _add_kube_flags(parser.add_argument_group("Kubernetes", "which cluster to serve; kubectl's flags"))
    return parser


def _add_kas_flags(group: argparse._ArgumentGroup) -> None:
    _add(group, "--kas-address", "URL", "address of kas: ws://, wss://, grpc:// or grpcs:// (required)")
    _add(group, "--token-file", "FILE", "file with the agent's token; or set AGENTK_TOKEN")
    _add(
        group,
        "--kas-ca-cert-file",
        "FILE",
        "PEM certificates to trust for kas instead of the system's",
        alias="--ca-cert-file",
    )
    group.add_argument(
        "--kas-header",
        metavar='"NAME: VALUE"',
        action="append",
        default=[],
        help="header added to the connection request (gRPC: to each call); may be given again",
    )
    group.add_argument(
        "--kas-tunnel",
        choices=[choice.value for choice in TunnelChoice],
        default=TunnelChoice.AUTO.value,
        help="tunnel to offer to kas: auto, native (ours) or grpc (GitLab's); for troubleshooting (default auto)",
    )
    _add(group, "--kas-client-cert-file", "FILE", "our certificate, for a kas behind mutual TLS")
    _add(group, "--kas-client-key-file", "FILE", "its key")
    _add_switch(
        group,
        "--kas-insecure-skip-tls-verify",
        "trust any certificate of kas: for trials only",
        default=False,
    )
    _add(group, "--kas-tls-server-name", "NAME", "name that kas' certificate must carry")


def _add_observability_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--observability-listen-network",
        metavar="NETWORK",
        choices=("tcp", "tcp4", "tcp6", "unix"),
        default="tcp",
        help="tcp, tcp4, tcp6 or unix (default tcp)",
    )
    _add(
        group,
        "--observability-listen-address",
        "HOST:PORT",
        "where /liveness, /readiness and /metrics answer (default :8080; a taken default port is only logged)",
    )
    _add(group, "--observability-cert-file", "FILE", "certificate, to answer over TLS")
    _add(group, "--observability-key-file", "FILE", "its key")


def _add_kube_flags(group: argparse._ArgumentGroup) -> None:
    _add(group, "--kubeconfig", "FILE", "kubeconfig file to use")
    _add(group, "--context", "NAME", "context of the kubeconfig")
    _add(group, "--cluster", "NAME", "cluster of the kubeconfig")
    _add(group, "--user", "NAME", "user of the kubeconfig")
    _add(group, "--namespace", "NAME", "namespace for agentk's own objects", alias="-n")
    _add(group, "--server", "URL", "address of the API server", alias="-s")
    _add(
        group,
        "--token",
        "TOKEN",
        "bearer token for the API server; other processes can see it: prefer a file",
    )
    _add(group, "--username", "NAME", "user name for the API server")
    _add(group, "--password", "PASSWORD", "password for the API server")
    _add(group, "--certificate-authority", "FILE", "PEM certificates to trust for the API server")
    _add(group, "--client-certificate", "FILE", "client certificate for the API server")
    _add(group, "--client-key", "FILE", "its key")
    _add_switch(
        group,
        "--insecure-skip-tls-verify",
        "trust any certificate of the API server: for trials only",
        default=None,
    )
    _add(group, "--tls-server-name", "NAME", "name that the API server's certificate must carry")
    group.add_argument(
        "--as", dest="as_user", metavar="USER", default="", help="user to impersonate in everything"
    )
    group.add_argument(
        "--as-group", metavar="GROUP", action="append", default=[], help="its groups, one a flag"
    )
    _add(group, "--as-uid", "UID", "its uid")
    for flag in ("--cache-dir", "--request-timeout"):
        _add(group, flag, "VALUE", "accepted because kubectl has it; agentk has no use for it")
    _add_switch(
        group,
        "--disable-compression",
        "accepted because kubectl has it; agentk never compresses",
        default=False,
    )


def _add(group: argparse._ArgumentGroup, flag: str, metavar: str, text: str, *, alias: str = "") -> None:
    names = (flag, alias) if alias.startswith("--") else (alias, flag) if alias else (flag,)
    group.add_argument(
        *names, dest=flag.removeprefix("--").replace("-", "_"), metavar=metavar, default="", help=text
    )


def _add_switch(group: argparse._ArgumentGroup, flag: str, text: str, *, default: bool | None) -> None:
    """A Go switch: alone it means true, and `--flag=false` is allowed."""
    group.add_argument(
        flag, metavar="true|false", nargs="?", const=True, default=default, type=_boolean, help=text
    )


def _boolean(text: str) -> bool:
    if text.lower() in {"true", "t", "1"}:
        return True
    if text.lower() in {"false", "f", "0"}:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
