"""Reads kubeconfig files the way kubectl does, with kubectl's flags on top.

Several files merge by name, the first definition wins; paths in a file are relative to that file; a flag overrides
what the files say. What we cannot do yet (exec plugins, proxies) is refused with its name: an agent that silently
went on without a credential would fail later and elsewhere.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from kasbah.errors import UserError
from kasbah.kit import strict_yaml
from kasbah.kit.secrets import Secret
from kasbah.kit.strict_yaml import Limits, YamlError
from kasbah.kube import in_cluster
from kasbah.kube.access import (
    Authorization,
    ClusterAccess,
    FixedAuthorization,
    TlsSettings,
    TokenFile,
    basic,
    bearer,
    cluster_access,
)
from kasbah.wire.identity import AsAgent, AsUser, Identity, InvalidIdentityError

_LIMITS = Limits(max_bytes=4 * 1024 * 1024)
_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeFlags:
    """kubectl's configuration flags; empty means not given."""

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    user: str = ""
    namespace: str = ""
    server: str = ""
    token: Secret | None = None
    username: str = ""
    password: Secret | None = None
    certificate_authority: str = ""
    client_certificate: str = ""
    client_key: str = ""
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()
    as_uid: str = ""


class _Record(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Unknown keys are ignored, as kubectl does: other tools keep their own in this file."""


class _Cluster(_Record, frozen=True, kw_only=True, rename="kebab"):
    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    proxy_url: str = ""


class _User(_Record, frozen=True, kw_only=True, rename="kebab"):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    as_user: str = msgspec.field(default="", name="as")
    as_uid: str = ""
    as_groups: list[str] | None = None
    as_user_extra: dict[str, list[str]] | None = None
    username: str = ""
    password: str = ""
    exec: Any = None
    auth_provider: Any = None


class _Context(_Record, frozen=True, kw_only=True, rename="kebab"):
    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: _Cluster | None = None


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: _User | None = None


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: _Context | None = None


class _File(_Record, frozen=True, kw_only=True, rename="kebab"):
    current_context: str | None = None
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Merged:
    current_context: str
    clusters: Mapping[str, _Cluster]
    users: Mapping[str, _User]
    contexts: Mapping[str, _Context]


def load(flags: KubeFlags, environment: Mapping[str, str]) -> ClusterAccess:
    """Access by flags, then kubeconfig files, then the pod's service account, in kubectl's order.

    Raises:
        UserError: nothing leads to a cluster, or what does cannot be used.
    """
    merged = _merge(_paths(flags, environment), must_exist=bool(flags.kubeconfig))
    empty = not (merged.clusters or merged.users or merged.contexts or flags.server)
    if empty and not flags.kubeconfig and in_cluster.runs_in_a_pod(environment):
        return in_cluster.load(environment, identity=_identity(flags, _User()))
    return _access(flags, merged)


def _access(flags: KubeFlags, merged: _Merged) -> ClusterAccess:
    context_name = flags.context or merged.current_context
    if flags.context and flags.context not in merged.contexts:
        raise UserError(f"the kubeconfig has no context {flags.context!r}; it has: {_names(merged.contexts)}")
    context = merged.contexts.get(context_name, _Context())
    cluster = _named("cluster", flags.cluster or context.cluster, merged.clusters, _Cluster())
    user = _named("user", flags.user or context.user, merged.users, _User())
    server = flags.server or cluster.server
    if not server:
        raise UserError(
            "no Kubernetes API server is configured: give --kubeconfig=FILE (with a current-context or --context), "
            "or --server=https://HOST:PORT, or run in a pod with a service account"
        )
    _refuse_unsupported(cluster, user)
    return cluster_access(
        server,
        tls=_tls(flags, cluster, user),
        authorization=_authorization(flags, user),
        identity=_identity(flags, user),
        namespace=flags.namespace or context.namespace or "default",
    )


def _named(kind: str, name: str, entries: Mapping[str, _Entry], default: _Entry) -> _Entry:
    if name and name not in entries:
        raise UserError(f"the kubeconfig has no {kind} {name!r}; it has: {_names(entries)}")
    return entries.get(name, default)


def _names(entries: Mapping[str, object]) -> str:
    return ", ".join(sorted(entries)) or "none"


def _refuse_unsupported(cluster: _Cluster, user: _User) -> None:
    if cluster.proxy_url:
        raise UserError(
            "the kubeconfig's cluster has a proxy-url, which is not supported: reach the API server directly"
        )
    if user.exec is not None and not user.token and not user.token_file:
        raise UserError(
            "the kubeconfig's user gets its credentials from an exec plugin, which is not supported: give the agent "
            "a service account, a token (--token, tokenFile) or a client certificate"
        )
    if user.auth_provider is not None:
        raise UserError(
            "the kubeconfig's user has an auth-provider, which Kubernetes removed in 1.26: use a token or a certificate"
        )


# Files


def _paths(flags: KubeFlags, environment: Mapping[str, str]) -> Sequence[Path]:
    if flags.kubeconfig:
        return [Path(flags.kubeconfig)]
    if listed := environment.get("KUBECONFIG", ""):
        return [Path(entry) for entry in listed.split(":") if entry]
    home = environment.get("HOME", "")
    return [Path(home) / ".kube" / "config"] if home else []


def _merge(paths: Sequence[Path], *, must_exist: bool) -> _Merged:
    current = ""
    clusters: dict[str, _Cluster] = {}
    users: dict[str, _User] = {}
    contexts: dict[str, _Context] = {}
    for path in paths:
        if not must_exist and not path.exists():
            continue
        file, folder = _read(path), path.absolute().parent
        current = current or file.current_context or ""
        for cluster in file.clusters or ():
            clusters.setdefault(cluster.name, _place_cluster(cluster.cluster or _Cluster(), folder))
        for user in file.users or ():
            users.setdefault(user.name, _place_user(user.user or _User(), folder))
        for context in file.contexts or ():
            contexts.setdefault(context.name, context.context or _Context())
    return _Merged(current_context=current, clusters=clusters, users=users, contexts=contexts)


def _read(path: Path) -> _File:
    try:
        if path.stat().st_size > _LIMITS.max_bytes:
            raise UserError(f"the kubeconfig {path} is over {_LIMITS.max_bytes} bytes")
        return msgspec.convert(strict_yaml.read(path.read_bytes(), _LIMITS) or {}, _File)
    except OSError as error:
        raise UserError(f"cannot read the kubeconfig {path}: {error.strerror or error}") from error
    except YamlError as error:
        raise UserError(f"the kubeconfig {path} cannot be read: {error}") from error
    except msgspec.ValidationError as error:
        raise UserError(f"the kubeconfig {path} does not have a kubeconfig's shape: {error}") from error


def _place_cluster(cluster: _Cluster, folder: Path) -> _Cluster:
    return msgspec.structs.replace(
        cluster, certificate_authority=_place(cluster.certificate_authority, folder)
    )


def _place_user(user: _User, folder: Path) -> _User:
    return msgspec.structs.replace(
        user,
        client_certificate=_place(user.client_certificate, folder),
        client_key=_place(user.client_key, folder),
        token_file=_place(user.token_file, folder),
    )


def _place(path: str, folder: Path) -> str:
    return str(folder / path) if path else ""


# What the entries mean


def _tls(flags: KubeFlags, cluster: _Cluster, user: _User) -> TlsSettings:
    insecure = cluster.insecure_skip_tls_verify
    if flags.insecure_skip_tls_verify is not None:
        insecure = flags.insecure_skip_tls_verify
    if flags.certificate_authority:
        ca_pem = _file_or_data("certificate-authority", flags.certificate_authority, "")
    else:
        ca_pem = _file_or_data(
            "certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data
        )
    if insecure and ca_pem:
        if flags.insecure_skip_tls_verify is None:
            raise UserError(
                "the kubeconfig has both insecure-skip-tls-verify and a certificate authority: remove one"
            )
        ca_pem = b""
    certificate, key = _client_certificate(flags, user)
    return TlsSettings(
        ca_pem=ca_pem,
        certificate_pem=certificate,
        key_pem=key,
        insecure_skip_verify=insecure,
        server_name=flags.tls_server_name or cluster.tls_server_name,
    )


def _client_certificate(flags: KubeFlags, user: _User) -> tuple[bytes, bytes]:
    if flags.client_certificate or flags.client_key:
        return (
            _file_or_data("client-certificate", flags.client_certificate, ""),
            _file_or_data("client-key", flags.client_key, ""),
        )
    return (
        _file_or_data("client-certificate", user.client_certificate, user.client_certificate_data),
        _file_or_data("client-key", user.client_key, user.client_key_data),
    )


def _file_or_data(name: str, path: str, data: str) -> bytes:
    """Inline data wins over a file, as in client-go."""
    try:
        if data:
            return base64.b64decode(data, validate=False)
        return Path(path).read_bytes() if path else b""
    except binascii.Error as error:
        raise UserError(f"{name}-data in the kubeconfig is not base64") from error
    except OSError as error:
        raise UserError(f"cannot read {name} {path}: {error.strerror or error}") from error


def _authorization(flags: KubeFlags, user: _User) -> Authorization:
    if flags.token is not None:
        return FixedAuthorization(bearer(flags.token.reveal()))
    if flags.username:
        password = flags.password.reveal() if flags.password is not None else ""
        return FixedAuthorization(basic(flags.username, password))
    if user.token_file:
        return TokenFile(Path(user.token_file))
    if user.token:
        return FixedAuthorization(bearer(user.token))
    if user.username:
        return FixedAuthorization(basic(user.username, user.password))
    return FixedAuthorization()


def _identity(flags: KubeFlags, user: _User) -> Identity:
    username = flags.as_user or user.as_user
    groups = flags.as_groups or tuple(user.as_groups or ())
    uid = flags.as_uid or user.as_uid
    extra = tuple((key, tuple(values)) for key, values in (user.as_user_extra or {}).items())
    if not username:
        if groups or uid or extra:
            raise UserError("--as-group and --as-uid (as-groups, as-uid) need --as (as): whom to impersonate")
        return AsAgent()
    try:
        return AsUser(username=username, groups=groups, uid=uid, extra=extra)
    except InvalidIdentityError as error:
        raise UserError(f"the identity to impersonate (--as) cannot be used: {error}") from error
