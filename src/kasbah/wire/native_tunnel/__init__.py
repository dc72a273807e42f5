"""The native tunnel, `kasbah.v1`: many streams over one byte stream between agentk and kas.

Bytes in, calls on handlers out; orders in, bytes out. No sockets, no clock: the shells in `agentk/reverse_tunnel` and
`kas/reverse_tunnel` own those. The protocol is written down in docs/reference/native-tunnel.md.
"""

from __future__ import annotations
