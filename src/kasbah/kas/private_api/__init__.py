"""Between the kas of one deployment: a request that came to one reaches an agent that is connected to another.

Which kas holds a tunnel of which agent is published (`routes`, `publisher`). The kas with the request dials the one
with the tunnel (`replicas`, `router`), and the two speak the native tunnel; the other side (`gateway`) looks at its
own tunnels only, so nothing goes in circles. Requests to agents that are connected here never come into this room.
"""

from __future__ import annotations
