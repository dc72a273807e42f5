"""Identities as GitLab's `ImpersonationConfig`, and back.

There "nobody" is another spelling of "the agent itself": an absent or empty configuration. So an empty one is never
sent, and one that says something without a user name is refused and not taken for the agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from kasbah.wire.http_call.headers import values_of
from kasbah.wire.identity import AsAgent, AsUser, Identity, InvalidIdentityError
from kasbah.wire.pb.gitlab.agent.kubernetes_api.rpc.rpc_pb2 import (
    ExtraKeyVal,
    HeaderExtra,
    ImpersonationConfig,
)
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import RpcError, StatusCode

PREFIX = "impersonate-"
_EXTRA_PREFIX = "impersonate-extra-"


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
    return _user(
        config.username, tuple(config.groups), config.uid, tuple((e.key, tuple(e.val)) for e in config.extra)
    )


def identity_of_headers(headers: Mapping[str, Values]) -> Identity:
    """Whom the `Impersonate-*` headers of a person name (`kubectl --as`), where kas has let them pass.

    Raises:
        RpcError: INVALID_ARGUMENT: they name nobody, or two.
    """
    named = [name for name in headers if name.lower().startswith(PREFIX)]
    if not named:
        return AsAgent()
    users, uids = values_of(headers, "impersonate-user"), values_of(headers, "impersonate-uid")
    if len(users) > 1 or len(uids) > 1:
        raise RpcError(StatusCode.INVALID_ARGUMENT, "the Impersonate headers name two users")
    extra = tuple(
        (unquote(name[len(_EXTRA_PREFIX) :]).lower(), tuple(headers[name].value))
        for name in sorted(named)
        if name.lower().startswith(_EXTRA_PREFIX)
    )
    groups = tuple(values_of(headers, "impersonate-group"))
    return _user("".join(users), groups, "".join(uids), extra)


def _user(
    username: str, groups: tuple[str, ...], uid: str, extra: tuple[tuple[str, tuple[str, ...]], ...]
) -> AsUser:
    try:
        return AsUser(username=username, groups=groups, uid=uid, extra=extra)
    except InvalidIdentityError as error:
        raise RpcError(StatusCode.INVALID_ARGUMENT, str(error)) from error
