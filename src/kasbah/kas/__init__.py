"""Wing 2, where people are: faces agents and Kubernetes API clients; holds no cluster credentials and no database."""

from __future__ import annotations
