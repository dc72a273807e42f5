"""kas' configuration file: GitLab's schema, as far as this kas uses it.

Keys nobody knows are refused by name. Sections of GitLab's file that this kas has no use for yet (`redis`, `gitaly`,
`api`, `private_api`) are taken and left alone, so that an existing file works. Pure: text in, records out.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from kasbah.errors import UserError
from kasbah.kit import strict_yaml

Duration = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,9}(?:\.[0-9]{1,9})?s\Z")]
"""As protobuf writes it: `300s`."""

_UNKNOWN: Final = re.compile(r"Object contains unknown field `([^`]*)`(?: - at `\$\.?(.*)`)?")


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section refuses keys it does not know."""


class GitLabSection(_Section, frozen=True, kw_only=True):
    address: str
    """The Git side's base URL."""
    authentication_secret_file: str
    """The secret kas and the Git side share: base64 of 32 bytes."""
    ca_certificate_file: str = ""
    """PEM certificates to trust when calling the Git side over https."""
    external_url: str = ""
    """Where people reach the Git side: the CORS origin, and sent to agents."""


class ListenSection(_Section, frozen=True, kw_only=True):
    address: str = ""
    """`HOST:PORT`, or `:PORT` for every interface."""
    network: str = "tcp"
    """Only `tcp` for now."""
    certificate_file: str = ""
    """A PEM certificate with its chain, to serve over TLS."""
    key_file: str = ""
    """Its key."""
    listen_grace_period: Duration = "5s"
    """Taken for compatibility: this kas stops listening at once when it drains."""
    shutdown_grace_period: Duration = "3600s"
    """Taken for compatibility: running requests get ten seconds."""


class AgentListenSection(ListenSection, frozen=True, kw_only=True):
    websocket: bool = True
    """Agents dial WebSockets; there is nothing else yet."""
    connections_per_token_per_minute: int = 40000
    """Taken for compatibility."""
    max_connection_age: Duration = "7200s"
    """Taken for compatibility."""


class ConfigurationSection(_Section, frozen=True, kw_only=True):
    poll_period: Duration = "300s"
    """How often an agent's configuration is looked at when nothing is pushed."""
    max_configuration_file_size: int = 131072
    """Bytes."""


class KubernetesApiSection(_Section, frozen=True, kw_only=True):
    listen: ListenSection = ListenSection()
    url_path_prefix: str = "/"
    """What stands before the Kubernetes path."""


class AgentSection(_Section, frozen=True, kw_only=True):
    listen: AgentListenSection = AgentListenSection()
    configuration: ConfigurationSection = ConfigurationSection()
    kubernetes_api: KubernetesApiSection | None = None
    """Absent: no Kubernetes API proxy."""


class LoggingSection(_Section, frozen=True, kw_only=True):
    level: str = "info"
    grpc_level: str = "error"
    """Taken for compatibility."""


class ObservabilitySection(_Section, frozen=True, kw_only=True):
    listen: ListenSection = ListenSection()
    logging: LoggingSection = LoggingSection()
    usage_reporting_period: Duration = "60s"
    """Taken for compatibility."""


class ConfigurationFile(_Section, frozen=True, kw_only=True):
    gitlab: GitLabSection
    agent: AgentSection = AgentSection()
    observability: ObservabilitySection = ObservabilitySection()
    redis: Mapping[str, Any] = {}
    gitaly: Mapping[str, Any] = {}
    api: Mapping[str, Any] = {}
    private_api: Mapping[str, Any] = {}


def read(path: Path) -> ConfigurationFile:
    """Read the file.

    Raises:
        UserError: it cannot be read, is not YAML, or does not fit the schema; the text names the place.
    """
    try:
        document = strict_yaml.read(path.read_bytes())
        return msgspec.convert(document, ConfigurationFile)
    except OSError as error:
        raise UserError(f"cannot read the configuration file {path}: {error.strerror}") from error
    except strict_yaml.YamlError as error:
        raise UserError(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {_explain(str(error))}") from error


def _explain(text: str) -> str:
    """What msgspec said, with the path first, and the nearest key for one that nobody knows."""
    match = _UNKNOWN.match(text)
    if match is None:
        fault, _, place = text.partition(" - at ")
        return f"{place.strip('`').removeprefix('$.') or 'the file'}: {fault[0].lower()}{fault[1:]}"
    key, place = match[1], (match[2] or "")
    near = difflib.get_close_matches(key, _known_keys(), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{place + '.' if place else ''}{key}: unknown key{hint}"


def _known_keys() -> set[str]:
    sections = [_Section]
    keys: set[str] = set()
    for section in sections:
        keys.update(section.__struct_fields__)
        sections += section.__subclasses__()
    return keys


def read_secret(path: str) -> bytes:
    """The 32 bytes of a secret file.

    Raises:
        UserError: it cannot be read or holds something else.
    """
    try:
        secret = base64.b64decode(Path(path).read_bytes().strip(), validate=True)
    except OSError as error:
        raise UserError(f"cannot read authentication_secret_file {path}: {error.strerror}") from error
    except binascii.Error as error:
        raise UserError(f"{path} must hold base64 of 32 bytes") from error
    if len(secret) < 32:
        raise UserError(f"{path} must hold base64 of 32 bytes, and holds {len(secret)}")
    return secret


def seconds(duration: str) -> float:
    """The length of a `Duration`."""
    return float(duration.removesuffix("s"))
