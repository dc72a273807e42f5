"""What an HTTP answer means that is not the one a server of ours gives: somebody else answers, or stands in between."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from kasbah.kit.doctor.check import FaultError
from kasbah.kit.doctor.link import Answer, needs_tls

_PLAIN_TO_TLS: Final = (b"HTTPS port", b"HTTPS server")
"""nginx' and Go's words for whoever speaks plainly to TLS."""
_GATEWAYS: Final = frozenset({502, 503, 504})


def of(answer: Answer, *, server: str, target: str) -> FaultError:
    """What the answer means, when `server` was asked for `target`."""
    if answer.status == 400 and any(text in answer.body for text in _PLAIN_TO_TLS):
        return needs_tls(f"{answer.summary}: the port speaks TLS")
    if 300 <= answer.status < 400:
        return _redirect(answer, server, target)
    if answer.status in {401, 403}:
        return FaultError(
            "http-not-let-in",
            f"{answer.summary}: it does not come from {server}, something before it wants a login or forbids the path",
            f"let {target} pass there without its own login: {server} checks who asks",
        )
    if answer.status in _GATEWAYS:
        return FaultError(
            "http-gateway",
            f"{answer.summary}: a proxy before {server} does not reach it",
            f"look whether {server} runs, and at the address that the proxy passes {target} on to",
        )
    if answer.status == 413:
        return too_large(answer, server)
    if answer.status == 426:
        return upgrade_dropped(answer, server)
    if answer.status in {404, 405}:
        return FaultError(
            "http-wrong-path",
            f"{answer.summary} for {target}: {server} is not there",
            "correct the path of the address, or what the proxy before it passes on under this path",
        )
    if 200 <= answer.status < 300:
        kind = "a web page" if answer.is_page else "something else"
        return FaultError(
            "http-web-page" if answer.is_page else "http-foreign-answer",
            f"{answer.summary}: {kind} answers for {target}, and not {server}",
            f"correct the address, or let the proxy pass {target} on to {server}",
        )
    return FaultError(
        "http-foreign-answer",
        f"{answer.summary} for {target}: {server} does not answer so",
        "look at the log of the proxy or server that says this",
    )


def upgrade_dropped(answer: Answer, server: str) -> FaultError:
    """The request arrives without its `Upgrade`."""
    return FaultError(
        "http-upgrade-dropped",
        f"{answer.summary}: {server} answers, but the request arrives there without its Upgrade header",
        "let the proxy pass upgrades on; nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
        'proxy_set_header Connection "upgrade";',
    )


def too_large(answer: Answer, server: str) -> FaultError:
    """A body that the server itself would have taken."""
    return FaultError(
        "http-body-too-large",
        f"{answer.summary}: something before {server} takes no bodies of this size",
        f"raise its limit (nginx: client_max_body_size 0;): {server} has limits of its own",
    )


def _redirect(answer: Answer, server: str, target: str) -> FaultError:
    location = answer.headers.get("location", "")
    try:
        parts = urlsplit(location)
    except ValueError:
        parts = urlsplit("")
    path = target.partition("?")[0]
    seen = f"{answer.summary}: it redirects to {location or 'nowhere'}"
    if parts.path == f"{path}/":
        return FaultError("http-missing-slash", seen, f"add the slash at the end of the address: {path}/")
    if parts.scheme in {"https", "wss"} and parts.path == path:
        return FaultError(
            "http-redirect-to-tls", seen, "use the scheme with TLS: wss:// for ws://, https:// for http://"
        )
    return FaultError(
        "http-redirect",
        seen,
        f"use the address it leads to, if that is {server}; a login page in between must let {path} pass",
    )
