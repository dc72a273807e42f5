"""Follows a copy of an exec's or attach's bytes, both ways, and tells what was seen and typed as an asciicast.

Engines only: they are told the time and give the bytes to write. They hear connections of strangers and can be broken by
none: what they do not understand ends the recording with a marker, and nothing else.
"""

from __future__ import annotations
