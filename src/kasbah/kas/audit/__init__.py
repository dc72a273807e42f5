"""The audit log of the Kubernetes API proxy: who did what in which cluster, as whom, and how it ended.

Every request has a record when it ends; one that may change something also has one that outlives this process before the
request leaves, and one on the disk before its answer reaches the client. The records lie in a chained log. Knows the
proxy's records of requests and nothing of how requests run.
"""

from __future__ import annotations
