"""One small REST call with the standard library: what the kubectl credential plugin can afford to load.

kubectl starts the plugin on every invocation, so the full client (httpx2, 140 ms) stays out of it. Redirects are never
followed: they would carry the token to another host. Everything is bounded: time, and the size of an answer.
"""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any, Final

from kasbah.cli.errors import NotAllowedError, NotFoundError, UnreachableError
from kasbah.cli.hosts import Host
from kasbah.errors import PeerError, UserError
from kasbah.kit.secrets import Secret, scrub

_TIMEOUT_S: Final = 15
_MAX_ANSWER_BYTES: Final = 256 * 1024
_MAX_MESSAGE: Final = 256
_STATUS: Final = re.compile(r"^[1-5]\d\d (?:Bad request: )?")


class _RefuseRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def call(host: Host, method: str, path: str, body: object = None, *, token: Secret | None = None) -> Any:
    """The decoded answer to one call below `/api/v4`; None for an empty one.

    Raises:
        NotAllowedError: 401 or 403.
        NotFoundError: 404.
        UserError: any other refusal.
        UnreachableError: no answer, or not over a connection we may trust.
    """
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked when the host was stored
        f"{host.url}/api/v4{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "PRIVATE-TOKEN": (token or host.token).reveal(),
            "Content-Type": "application/json",
            "User-Agent": "kasbah-credential",
        },
    )
    try:
        with _opener(host).open(request, timeout=_TIMEOUT_S) as response:
            return _decode(response.read(_MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        raise _refusal(host, error.code, error.read(_MAX_ANSWER_BYTES)) from error
    except ssl.SSLCertVerificationError as error:
        raise UnreachableError(distrust(host, error.verify_message)) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise UnreachableError(distrust(host, error.reason.verify_message)) from error
        raise UnreachableError(f"cannot reach {host.url}: {error.reason}", retryable=True) from error
    except (OSError, ValueError) as error:
        raise UnreachableError(f"cannot reach {host.url}: {error}", retryable=True) from error


def _opener(host: Host) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    if host.ca_certificate:
        context.load_verify_locations(cadata=host.ca_certificate)
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _RefuseRedirects)


def distrust(host: Host, reason: str) -> str:
    """What to tell a person whose machine does not know the authority."""
    return (
        f"the certificate of {host.url} is not trusted ({reason}); log in with the authority that signed it: "
        f"kasbah login --url {host.url} --ca-file FILE"
    )


def _decode(content: bytes) -> Any:
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError as error:
        raise PeerError("the answer is not JSON; is the URL that of a Kasbah or GitLab?") from error


def _refusal(host: Host, status: int, content: bytes) -> UserError | PeerError:
    text = f"{host.url} answered {status}: {message_of(content) or 'no reason given'}"
    if status in {401, 403}:
        return NotAllowedError(f"{text}; log in again with `kasbah login --url {host.url}`")
    if status == 404:
        return NotFoundError(text)
    if status >= 500:
        return PeerError(text, retryable=True)
    return UserError(text)


def message_of(content: bytes) -> str:
    """The reason in one of GitLab's error bodies, without the status it repeats; empty when there is none."""
    try:
        document = json.loads(content)
        if not isinstance(document, dict):
            return ""
        reason = document.get("error_description") or document.get("message") or document.get("error") or ""
        return scrub(_flatten(reason))[:_MAX_MESSAGE]
    except (ValueError, RecursionError):
        return ""


def _flatten(reason: object) -> str:
    """GitLab's reasons are texts, lists of texts, fields with texts, or a list printed by Ruby inside a text."""
    if isinstance(reason, dict):
        return ", ".join(f"{field} {_flatten(texts)}" for field, texts in reason.items())
    if isinstance(reason, list):
        return ", ".join(_flatten(text) for text in reason)
    _, _, tail = str(reason).partition(" - ")
    if tail:
        with suppress(ValueError):
            return ", ".join(json.loads(tail))
        return tail
    return _STATUS.sub("", str(reason))
