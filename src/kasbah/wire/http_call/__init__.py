"""One HTTP exchange as one call: GitLab's way to carry requests to the Kubernetes API.

Both ends, synchronous. Inwards each looks like a stream of the native tunnel, so the same rooms ask and answer whatever
the wire; outwards each speaks `grpctool.HttpRequest` and `HttpResponse`. What GitLab's form cannot hold is refused or
written down here: the order between the query's keys, the spelling of percent-escapes, values that are not UTF-8.
"""

from __future__ import annotations
