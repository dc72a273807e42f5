"""Identities as GitLab's `ImpersonationConfig`, and back.

There "nobody" is another spelling of "the agent itself": an absent or empty configuration. So an empty one is never
sent, and one that says something without a user name is refused and not taken for the agent.
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from kasbah.wire.identity import AsAgent, AsUser, Identity, InvalidIdentityError
from kasbah.wire.pb.gitlab.agent.kubernetes_api.rpc.rpc_pb2 import (
    ExtraKeyVal,
    HeaderExtra,
    ImpersonationConfig,
)
from kasbah.wire.rpc import RpcError, StatusCode


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
