"""What the Git side asks and tells kas over gRPC, on an address of its own: GitLab's internal API.

Who calls is proved by a JWT with each call. The rooms that answer know messages and nothing of this one.
"""

from __future__ import annotations
