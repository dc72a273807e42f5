"""GitLab's REST conventions, once: routes, parameters, credentials, answers, pages.

An area's `rest.py` is a table of `Route`s and small handlers; everything a client relies on across routes (the order
in which credentials are looked up, the wording of parameter errors, headers, pagination) is decided here. Knows
no area.
"""

from __future__ import annotations
