"""GitLab's reverse tunnel: agentk opens a call and waits in it for one call of kas', which is carried the other way.

Both ends, synchronous: what comes in from the carrying call goes out to the carried one, and back. A tunnel carries
exactly one call and then ends. Knows neither what is carried nor by what; who keeps idle tunnels, and how many, is the
business of `kas/reverse_tunnel` and `agentk/reverse_tunnel`.
"""

from __future__ import annotations
