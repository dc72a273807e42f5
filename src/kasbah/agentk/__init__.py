"""Wing 1, in the cluster: holds the cluster's credentials and keeps a tunnel to kas."""

from __future__ import annotations
