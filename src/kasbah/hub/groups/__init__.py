"""Namespaces (groups with subgroups, and one for each user), the paths below them, and who is a member with which role."""

from __future__ import annotations
