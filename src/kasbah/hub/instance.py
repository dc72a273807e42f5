"""`/metadata` and `/version`: which version of GitLab's API this is, and where kas is.

glab, Terraform and python-gitlab read the version at start, so it is GitLab's, not ours; camelCase inside `kas` is
GitLab's too.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kasbah.hub.rest.access import READ_USER
from kasbah.hub.rest.call import Call
from kasbah.hub.rest.reply import Reply
from kasbah.hub.rest.router import NoParameters, Route

_REVISION: Final = "kasbah"
_KAS_NAMES: Final = {"external_url": "externalUrl", "external_k8s_proxy_url": "externalK8sProxyUrl"}


class KasEntity(msgspec.Struct, frozen=True, rename=_KAS_NAMES, kw_only=True):
    """Where kas is."""

    enabled: bool = True
    external_url: str
    external_k8s_proxy_url: str
    version: str


class MetadataEntity(msgspec.Struct, frozen=True, kw_only=True):
    """The instance, as clients ask for it first."""

    version: str
    revision: str
    kas: KasEntity
    enterprise: bool = False


def routes() -> list[Route[Any]]:
    return [
        Route("GET", "/metadata", _metadata, NoParameters, READ_USER),
        Route("GET", "/version", _metadata, NoParameters, READ_USER),
    ]


async def _metadata(call: Call, _: NoParameters) -> Reply:
    site = call.site
    kas = KasEntity(
        external_url=site.kas_external_url,
        external_k8s_proxy_url=site.k8s_proxy_external_url,
        version=site.version,
    )
    return Reply(MetadataEntity(version=site.version, revision=_REVISION, kas=kas))
