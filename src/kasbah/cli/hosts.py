"""Which Kasbah (or GitLab) a command talks to, as whom, and whom it trusts: hosts.json and the environment.

The file lies in `$XDG_CONFIG_HOME/kasbah/hosts.json`, is readable by its owner only and holds one entry a host; the
environment wins over it. A token from the environment is never sent to another host than `KASBAH_URL` names; without
that it belongs to the current host.

The kubectl credential plugin loads this module, so it imports the standard library's small parts only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from kasbah.cli.errors import NotAllowedError, UsageError
from kasbah.errors import UserError
from kasbah.kit import private_file
from kasbah.kit.secrets import Secret, scrub

_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")

DEFAULT_URL = "https://127.0.0.1:8443"


class Host(NamedTuple):
    """One host as a command uses it."""

    url: str
    """Without a trailing slash; the REST API lies below `/api/v4`."""
    token: Secret
    ca_certificate: str = ""
    """PEM, trusted beside the system's authorities; empty: only those."""
    username: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables (no secrets) that lead another program of ours to the same token and authority."""


class Hosts(NamedTuple):
    """The stored hosts, by URL, and the one that is used when none is named."""

    current: str = ""
    by_url: Mapping[str, Host] = {}


def normalize_url(text: str) -> str:
    """The URL as a key: scheme and host in lower case, no trailing slash."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        well_formed = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise UsageError(
            f"{scrub(text)!r} is not a host's URL ({scrub(str(error))}); write it like {DEFAULT_URL}"
        ) from error
    if not well_formed or any(character.isspace() for character in text):
        raise UsageError(f"{scrub(text)!r} is not a host's URL; write it like {DEFAULT_URL}")
    if parts.username or parts.query or parts.fragment:
        raise UsageError("a host's URL holds no user name, query or fragment; give the token by --token-file")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def config_file(environ: Mapping[str, str]) -> Path:
    """Where the hosts are stored."""
    home = Path(environ.get("HOME") or "~").expanduser()
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "kasbah" / "hosts.json"


def load(path: Path) -> Hosts:
    """The stored hosts; none when there is no file."""
    try:
        document = json.loads(path.read_bytes())
        entries = {url: _parse_entry(url, entry) for url, entry in document["hosts"].items()}
        return Hosts(current=str(document["current"]), by_url=entries)
    except FileNotFoundError:
        return Hosts()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged; remove it and log in again with `kasbah login`") from error


def _parse_entry(url: str, entry: Mapping[str, str]) -> Host:
    return Host(
        url=normalize_url(url),
        token=Secret(entry["token"]),
        ca_certificate=entry["ca_certificate"],
        username=entry["username"],
    )


def store(path: Path, hosts: Hosts) -> None:
    """Replace the stored hosts at once."""
    entries = {
        url: {"token": host.token.reveal(), "username": host.username, "ca_certificate": host.ca_certificate}
        for url, host in hosts.by_url.items()
    }
    private_file.make_directory(path.parent)
    content = json.dumps({"current": hosts.current, "hosts": entries}, indent=2) + "\n"
    private_file.write(path, content.encode())


def resolve(environ: Mapping[str, str], url: str = "") -> Host:
    """The host a command talks to: the one asked for, else `KASBAH_URL`, else the current one.

    Raises:
        NotAllowedError: there is no host or no token for it.
        UserError: a file that the environment names cannot be read.
    """
    hosts = load(config_file(environ))
    from_environment = environ.get("KASBAH_URL", "")
    wanted = normalize_url(url or from_environment or hosts.current or _only_a_token_given(environ))
    stored = hosts.by_url.get(wanted)
    belongs_to = normalize_url(from_environment or hosts.current or DEFAULT_URL)
    token = _environment_token(environ) if belongs_to == wanted else None
    if token is None and stored is None:
        raise NotAllowedError(f"not logged in to {wanted}: run `kasbah login --url {wanted}`")
    host = stored if token is None and stored is not None else Host(wanted, token or Secret(""))
    return _trust_environment(host._replace(ca_certificate=stored.ca_certificate if stored else ""), environ)


def _only_a_token_given(environ: Mapping[str, str]) -> str:
    if environ.get("KASBAH_TOKEN") or environ.get("KASBAH_TOKEN_FILE"):
        return DEFAULT_URL
    raise NotAllowedError("not logged in: run `kasbah login`, or set KASBAH_URL and KASBAH_TOKEN_FILE")


def _environment_token(environ: Mapping[str, str]) -> Secret | None:
    if token := environ.get("KASBAH_TOKEN", "").strip():
        return parse_token(token, "KASBAH_TOKEN")
    if path := environ.get("KASBAH_TOKEN_FILE"):
        return read_token(Path(path))
    return None


def _trust_environment(host: Host, environ: Mapping[str, str]) -> Host:
    found = [("KASBAH_URL", host.url)]
    if path := environ.get("KASBAH_CA_FILE"):
        host = host._replace(ca_certificate=read_ca(Path(path)))
        found.append(("KASBAH_CA_FILE", str(Path(path).absolute())))
    if (path := environ.get("KASBAH_TOKEN_FILE")) and not environ.get("KASBAH_TOKEN"):
        found.append(("KASBAH_TOKEN_FILE", str(Path(path).absolute())))
    return host._replace(environment=tuple(found) if len(found) > 1 else ())


def read_token(path: Path) -> Secret:
    """A token out of a file; surrounding white space does not count."""
    return parse_token(_read(path), str(path))


def parse_token(text: str, source: str) -> Secret:
    """A token as somebody gave it: it must fit into an HTTP header."""
    if not _TOKEN.fullmatch(text.strip()):
        raise UserError(f"{source} does not hold a token: one line of letters, digits and dashes is expected")
    return Secret(text.strip())


def read_ca(path: Path) -> str:
    """Certificates out of a PEM file."""
    text = _read(path)
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise UserError(
            f"{path} holds no PEM certificate; `kasbah up` writes one to ca.crt in its data directory"
        )
    return text


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UserError(f"cannot read {path}: {reason}") from error
