"""The Redis that several kas share: how it is reached, and that its absence hangs nobody; what is kept, the rooms say."""

from __future__ import annotations
