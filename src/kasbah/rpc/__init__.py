"""Calls with asyncio: who makes one awaits it, who answers one is an async function; what carries them is below.

`client` makes calls, `server` answers them. Neither knows a socket or a domain.
"""

from __future__ import annotations
