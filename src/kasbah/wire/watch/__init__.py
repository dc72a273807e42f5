"""Follows the bytes of a Kubernetes watch, so that it can be taken up again where it broke off.

Only whole events go on, what is incomplete at a break is dropped, and the last resourceVersion is always known. Pure:
bytes in, bytes out; knows no tunnel, no time, and nobody's identity.
"""

from __future__ import annotations
