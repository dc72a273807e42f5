"""The access log: one line of JSON for each request to the Kubernetes API proxy, for machines that collect such lines.

Off unless somebody says where to. Holds no token and no value of a query. A convenience and no proof: lines are dropped
when nobody takes them, and counted. The proof is the audit log, which names requests alike.
"""

from __future__ import annotations
