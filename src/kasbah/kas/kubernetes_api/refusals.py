"""A cluster's 403, held until it can be told together with what the person needs to know.

The answer is small; when it is not, or is no Status, it passes as it came. What is added is `explain`'s to say.
"""

from __future__ import annotations

from typing import Final, Protocol

from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.wire.request_policy import ProxyRequest

MAX_REFUSAL_BYTES: Final = 64 * 1024
MAX_ADDED_BYTES: Final = 16 * 1024
"""More than this is never added to a refusal; it passes as it came then."""


class Explainer(Protocol):
    """Makes a refusal of the API server understandable."""

    def explain(self, grant: Grant, request: ProxyRequest, content_type: bytes, body: bytes) -> bytes | None:
        """The body to send instead, of the same type; None: send the one that came."""


class NoExplainer:
    """Nothing is added."""

    def explain(self, grant: Grant, request: ProxyRequest, content_type: bytes, body: bytes) -> bytes | None:
        del grant, request, content_type, body
        return None
