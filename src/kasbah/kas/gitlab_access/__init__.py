"""Lets modules of agents ask their counterparts on the Git side.

`upload` is what an agent says, `rpc` passes it on and the answer back. Which requests kas makes at all is decided in
`hub_client.module_request`.
"""

from __future__ import annotations
