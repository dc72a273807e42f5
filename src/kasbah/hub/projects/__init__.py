"""Projects: what people share, push to and give rights on; each lies in a namespace."""

from __future__ import annotations
