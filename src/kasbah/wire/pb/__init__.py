"""Generated from proto/ by tools/gen_proto; never edited."""

from __future__ import annotations
