"""Keeps this pod's tunnel to kas open and hands what arrives through it to the handlers."""

from __future__ import annotations
