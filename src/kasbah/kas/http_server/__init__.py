"""The public HTTP/1.1 server: one connection machine under the hub's pages, agents' WebSockets and the proxy.

`connection` speaks HTTP/1.1 on one connection, `exchange` is what answers a request, `asgi` answers with an ASGI app,
`router` chooses who answers, `server` listens.
"""

from __future__ import annotations
