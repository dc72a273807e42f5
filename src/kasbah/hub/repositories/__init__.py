"""Git hosting: where repositories lie, who may pull and push, smart HTTP, and what kas reads."""

from __future__ import annotations
