"""Identities as GitLab's `ImpersonationConfig`, and back.

There "nobody" is another spelling of "the agent itself": an absent or empty configuration. So an empty one is never
sent, and one that says something without a user name is refused and not taken for the agent. Where the agent itself
acts, GitLab's kas leaves what the client says of identities (`kubectl --as`) in the request's headers; they are read
once, here, and named like any other identity from then on. Both at once is refused in GitLab's words.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from kasbah.wire.http_call import statuses
from kasbah.wire.identity import (
    NESTED_IMPERSONATION,
    AsAgent,
    AsUser,
    Identity,
    InvalidIdentityError,
    named_identity,
)
from kasbah.wire.pb.gitlab.agent.kubernetes_api.rpc.rpc_pb2 import (
    ExtraKeyVal,
    HeaderExtra,
    ImpersonationConfig,
)
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import RpcError, StatusCode
from kasbah.wire.stream import ResetCode

_FAMILY = "impersonate-"


def extra_of(identity: Identity) -> Any | None:
    """What goes beside the request to name the identity; nothing for the agent itself."""
    if isinstance(identity, AsAgent):
        return None
    packed = Any()
    packed.Pack(
        HeaderExtra(
            imp_config=ImpersonationConfig(
                username=identity.username,
                groups=identity.groups,
                uid=identity.uid,
                extra=[ExtraKeyVal(key=key, val=values) for key, values in identity.extra],
            )
        )
    )
    return packed


def identity_of_extra(packed: Any) -> Identity:
    """Whom what stands beside a request names.

    Raises:
        RpcError: INVALID_ARGUMENT: it is something else, or names nobody.
    """
    extra = HeaderExtra()
    try:
        if not packed.Unpack(extra):
            raise RpcError(StatusCode.INVALID_ARGUMENT, "the header's extra is not one of the Kubernetes API")
    except DecodeError as error:
        raise RpcError(StatusCode.INVALID_ARGUMENT, f"the header's extra cannot be read: {error}") from error
    if not extra.imp_config.ByteSize():
        return AsAgent()
    config = extra.imp_config
    try:
        return AsUser(
            username=config.username,
            groups=tuple(config.groups),
            uid=config.uid,
            extra=tuple((pair.key, tuple(pair.val)) for pair in config.extra),
        )
    except InvalidIdentityError as error:
        raise RpcError(StatusCode.INVALID_ARGUMENT, str(error)) from error


def names_of_identities(headers: Mapping[str, Values]) -> frozenset[str]:
    """The headers that speak of identities, in lower case; none of them travels as it stands."""
    return frozenset(name.lower() for name in headers if name.lower().startswith(_FAMILY))


def acting(configured: Identity, headers: Mapping[str, Values]) -> Identity:
    """As whom a request with headers of identities acts: where the configuration says the agent, as whom they name.

    Raises:
        RpcError: the configuration names somebody, or the headers nobody or several.
    """
    if not isinstance(configured, AsAgent):
        raise RpcError(*statuses.status_of(ResetCode.FORBIDDEN, NESTED_IMPERSONATION))
    said = [(name.lower(), value) for name, values in headers.items() for value in values.value]
    try:
        named = named_identity(said)
    except InvalidIdentityError as error:
        raise RpcError(StatusCode.INVALID_ARGUMENT, f"{statuses.PREFIX}{error}") from error
    return configured if named is None else named
