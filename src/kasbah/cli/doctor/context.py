"""One context of a kubeconfig, read as far as the way to kas needs it: in a job it is all there is.

The credential is the context's own: a token, a token file, or what its exec plugin prints.
"""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from kasbah.errors import UserError
from kasbah.kit.doctor.check import FaultError
from kasbah.kit.secrets import Secret, scrub

_MAX_BYTES: Final = 8 * 1024 * 1024
_PLUGIN_S: Final = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeContext:
    """What kubectl would use."""

    name: str
    file: Path
    server: str
    ca_pem: str = ""
    server_name: str = ""
    insecure: bool = False
    namespace: str = ""
    token: Secret = field(default_factory=lambda: Secret(""))
    plugin: Mapping[str, Any] = field(default_factory=dict)
    """The user's `exec`, when there is no token."""


def read(file: Path, name: str) -> KubeContext:
    """The context of that name.

    Raises:
        UserError: the file cannot be read, or has no such context with a cluster and a user.
    """
    document = _document(file)
    context = _named(document, "contexts", "context", name)
    if not context:
        known = ", ".join(str(item.get("name")) for item in _items(document, "contexts")[:8]) or "none"
        raise UserError(f"{file} has no context {name!r} (there: {known})")
    cluster = _named(document, "clusters", "cluster", str(context.get("cluster", "")))
    user = _named(document, "users", "user", str(context.get("user", "")))
    if not isinstance(cluster.get("server"), str):
        raise UserError(f"the context {name!r} of {file} names no cluster with a server")
    return KubeContext(
        name=name,
        file=file,
        server=cluster["server"],
        ca_pem=_authority(file, cluster),
        server_name=str(cluster.get("tls-server-name") or ""),
        insecure=cluster.get("insecure-skip-tls-verify") is True,
        namespace=str(context.get("namespace") or ""),
        token=_token(file, user),
        plugin=user["exec"] if isinstance(user.get("exec"), dict) else {},
    )


async def credential(context: KubeContext, environ: Mapping[str, str]) -> Secret:
    """What stands behind `Bearer`.

    Raises:
        FaultError: there is nothing, or the plugin gives nothing.
    """
    if context.token:
        return context.token
    command = context.plugin.get("command")
    if not isinstance(command, str):
        raise FaultError(
            "no-credential",
            f"the context {context.name} has neither a token nor an exec plugin",
            "write it anew: `kasbah agent update-kubeconfig`, or in a job `kasbah job-token create --kubeconfig-out`",
        )
    return await _from_plugin(command, context.plugin, environ)


async def _from_plugin(command: str, plugin: Mapping[str, Any], environ: Mapping[str, str]) -> Secret:
    added = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or ()}
    arguments = [str(argument) for argument in plugin.get("args") or ()]
    try:
        process = await asyncio.create_subprocess_exec(
            command, *arguments, env={**environ, **added}, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
    except OSError as error:
        raise _plugin_failed(command, error.strerror or str(error)) from error
    try:
        async with asyncio.timeout(_PLUGIN_S):
            out, told = await process.communicate()
    except TimeoutError as error:
        raise _plugin_failed(command, f"no end within {_PLUGIN_S:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return Secret(str(json.loads(out)["status"]["token"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _plugin_failed(command, told.decode(errors="replace").strip() or "no ExecCredential") from error


def _plugin_failed(command: str, reason: str) -> FaultError:
    return FaultError(
        "no-credential",
        f"the plugin {command} gives no credential: {scrub(reason)[:500]}",
        "run it by hand as the kubeconfig says; `kasbah agent update-kubeconfig` writes it anew",
    )


def _document(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise UserError(f"{file} is larger than a kubeconfig may be")
        document = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{file} is not a kubeconfig: it is not YAML") from error
    if not isinstance(document, dict):
        raise UserError(f"{file} is not a kubeconfig")
    return document


def _items(document: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    items = document.get(section)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _named(document: Mapping[str, Any], section: str, kind: str, name: str) -> dict[str, Any]:
    """What the first item of that name holds; empty when there is none."""
    found = next((item.get(kind) for item in _items(document, section) if item.get("name") == name), None)
    return found if isinstance(found, dict) else {}


def _authority(file: Path, cluster: Mapping[str, Any]) -> str:
    if data := cluster.get("certificate-authority-data"):
        try:
            return b64decode(str(data), validate=True).decode()
        except ValueError as error:
            raise UserError(f"{file}: certificate-authority-data is not a PEM in base64") from error
    return _beside(file, cluster["certificate-authority"]) if cluster.get("certificate-authority") else ""


def _token(file: Path, user: Mapping[str, Any]) -> Secret:
    if token_file := user.get("tokenFile"):
        return Secret(_beside(file, token_file).strip())
    return Secret(str(user.get("token") or ""))


def _beside(file: Path, name: object) -> str:
    """A file that a kubeconfig names, relative to itself."""
    path = file.parent / str(name)
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}, which {file} names: {error}") from error
