"""Records exec and attach sessions as asciicasts, a file each, when a setting says where.

Hears copies of what has passed, so a session is the same with and without. A recording that fails is logged and counted,
and the session goes on.
"""

from __future__ import annotations
