"""The only door from kas to the Git side: GitLab's internal REST API, and what we add to it.

`client` calls, `records` is what comes back, `errors` what can go wrong, `jwt` proves that kas is calling. The
same client speaks to our hub in process, to our hub over HTTP, and to a GitLab. Whatever is missing or not
understood in an answer is an error, never a permission.
"""

from __future__ import annotations
