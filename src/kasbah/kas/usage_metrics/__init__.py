"""How much kas is used: counted cheaply where it happens, reported to the Git side as differences."""

from __future__ import annotations
