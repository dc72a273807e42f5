"""What a browser may do: it sends its cookie along whoever wrote the page, so the page must be the hub's.

Only the hub's origin gets CORS headers. A cookie counts only on a host that the hub's cookies go to, never in a request
that the browser itself says a foreign page made, and in a WebSocket, which no CORS protects, only with the hub's origin. The
CSRF token beside it is for the Git side to check.
"""

from __future__ import annotations

from typing import Final

from kasbah.wire.http1 import RequestHead

FORBIDDEN: Final = 403
_MISDIRECTED: Final = 421
_OWN_SITES: Final = frozenset({b"same-origin", b"same-site"})


class Browsers:
    """The rules for one hub."""

    def __init__(self, external_origin: str) -> None:
        """`external_origin` is the hub's; without one no page may ask, and no cookie counts."""
        self._origin = external_origin.encode()
        self._host = _host(self._origin.partition(b"://")[2])

    def may_ask(self, head: RequestHead) -> bool:
        """Whether a request with an `Origin` is heard at all.

        The hub's page, or a client that names this very host: some WebSocket libraries always do.
        """
        if self._is_hub(head):
            return True
        return head.method != b"OPTIONS" and head.origin.partition(b"://")[2] == head.value(b"host")

    def cors_headers(self, head: RequestHead) -> bytes:
        """What lets the hub's page read the answer; nothing for others."""
        if not self._is_hub(head):
            return b""
        return b"Access-Control-Allow-Origin: %b\r\nAccess-Control-Allow-Credentials: true\r\n" % head.origin

    def refusal_of_cookie(self, head: RequestHead) -> int:
        """The status for a cookie that does not count in this request; 0 when it does."""
        if not self._host:
            return FORBIDDEN
        if not self._gets_cookies(head.value(b"host")):
            return _MISDIRECTED
        if head.origin and not self._is_hub(head):
            return FORBIDDEN
        if not _OWN_SITES.issuperset(head.values(b"sec-fetch-site")):
            return FORBIDDEN
        return FORBIDDEN if head.upgrade and not head.origin else 0

    def _is_hub(self, head: RequestHead) -> bool:
        return bool(self._origin) and head.origin == self._origin

    def _gets_cookies(self, authority: bytes) -> bool:
        """The hub's own host or a subdomain of it: a foreign name that leads here is an attack on a browser's network."""
        host = _host(authority)
        return host == self._host or host.endswith(b"." + self._host)


def _host(authority: bytes) -> bytes:
    """The name or address without its port; of anything else, something that is no host of ours."""
    address, bracket, _ = authority.partition(b"]")
    return (address if bracket else authority.partition(b":")[0]).lower()
