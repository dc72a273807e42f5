"""The Kubernetes API proxy: a person's request, cleaned and authorised, to the agent it was granted for.

`proxy` is the exchange between a client and a stream of the tunnel, `authorizer` the only maker of a `Grant`, `lease`
ends what is no longer allowed, `limits` counts, `errors` is the one table from what went wrong to a Status.
"""

from __future__ import annotations
