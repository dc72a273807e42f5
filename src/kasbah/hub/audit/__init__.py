"""The audit log of the kas beside this hub, for administrators: read from its files, written by nobody here."""

from __future__ import annotations
