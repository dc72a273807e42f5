"""The tunnels agents keep open to this kas: accepts, authenticates, finds and drains them."""

from __future__ import annotations
