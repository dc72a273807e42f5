"""CI jobs, of whatever CI: what a job may say it is, and the token that proves it while the job runs."""

from __future__ import annotations
