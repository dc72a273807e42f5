"""gRPC over HTTP/2, both roles: what carries a `wire.rpc.Call` when the other side is GitLab's.

Bytes in, bytes out: no sockets, no clock. HTTP/2's streams, headers and settings are h2's; what is on the path of every
byte (cutting frames, DATA, windows) and what bounds a hostile peer is ours. Knows nothing of what the calls are about.
"""
