"""Wing 4: the command line; speaks the public REST API and kubeconfig."""

from __future__ import annotations
