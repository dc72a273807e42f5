"""Wing 3: owns the database and the repositories; speaks GitLab's public and internal REST API."""

from __future__ import annotations
