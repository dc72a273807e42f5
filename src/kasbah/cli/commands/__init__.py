"""One module a noun, one function a verb; the signature and its texts are the help and the reference page."""

from __future__ import annotations
