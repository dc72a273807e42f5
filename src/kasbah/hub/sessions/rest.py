"""`/user/kas_session`: a browser's way to the Kubernetes API proxy, without a page of ours yet.

A token with the scope `api` or `k8s_proxy` begins a session, and neither gains by it: the first can make tokens for the
proxy anyway, the second opens the proxy itself. `read_api` does not. GitLab sets this cookie when it shows
a page; a page that signs people in will use the same service.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec

from kasbah.hub.clock import Clock
from kasbah.hub.errors import ForbiddenError
from kasbah.hub.rest.access import Access
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.reply import Reply, timestamp
from kasbah.hub.rest.router import NoParameters, Route
from kasbah.hub.sessions.model import CookiePlace
from kasbah.hub.sessions.service import SessionService

_PATH: Final = "/user/kas_session"
_ACCESS: Final = Access(scopes=("api", "k8s_proxy"))
_NEIGHBOURS: Final = ("", "same-origin", "same-site", "none")


class KasSessionEntity(msgspec.Struct, frozen=True, kw_only=True):
    """What the page must know; the cookie itself it never sees."""

    csrf_token: str
    expires_at: str


class SessionsRest:
    """The routes about a browser's session with kas."""

    def __init__(self, sessions: SessionService, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock

    def routes(self) -> list[Route[Any]]:
        return [
            Route("POST", _PATH, self.begin, NoParameters, _ACCESS),
            Route("DELETE", _PATH, self.end, NoParameters, _ACCESS),
        ]

    async def begin(self, call: Call, _: NoParameters) -> Reply:
        """A new session; its cookie comes in `Set-Cookie`, its CSRF token in the body, both this once."""
        _refuse_strangers(call)
        place = _place(call)
        new = await self._sessions.begin(call.signed_in, call.credential.token)
        cookie = place.header(new.cookie.reveal(), new.expires_at - self._clock())
        entity = KasSessionEntity(csrf_token=new.csrf_token.reveal(), expires_at=timestamp(new.expires_at))
        return Reply(entity, 201, {"Set-Cookie": cookie, "Cache-Control": "no-store"})

    async def end(self, call: Call, _: NoParameters) -> Reply:
        """Every session that was begun with the caller's token ends, and the browser forgets the cookie."""
        _refuse_strangers(call)
        await self._sessions.end(call.credential.token)
        return Reply(None, 204, {"Set-Cookie": _place(call).header("", timedelta())})


def _place(call: Call) -> CookiePlace:
    return CookiePlace.between(call.site.external_url, call.site.k8s_proxy_external_url)


def _refuse_strangers(call: Call) -> None:
    """A page of somebody else's must not sign a browser in as somebody else."""
    if call.request.headers.get("sec-fetch-site", "") not in _NEIGHBOURS:
        raise ForbiddenError("A page of another site may not begin or end a session")
