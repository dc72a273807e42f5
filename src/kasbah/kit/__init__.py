"""Parts that know no domain: tasks, back-off, settings, logs, certificates, one strict YAML reader."""

from __future__ import annotations
