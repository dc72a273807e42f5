"""Identities on GitLab's wire; "nobody" stays impossible."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from kasbah.wire.http_call.impersonation import (
    acting,
    extra_of,
    identity_of_extra,
    names_of_identities,
)
from kasbah.wire.identity import AsAgent, AsUser, Identity
from kasbah.wire.pb.gitlab.agent.gitlab_access.rpc import rpc_pb2 as gitlab_access
from kasbah.wire.pb.gitlab.agent.kubernetes_api.rpc.rpc_pb2 import (
    ExtraKeyVal,
    HeaderExtra,
    ImpersonationConfig,
)
from kasbah.wire.pb.gitlab.agent.prototool.prototool_pb2 import Values
from kasbah.wire.rpc import RpcError, StatusCode

MIA = AsUser(
    username="gitlab:user:mia",
    groups=("gitlab:user", "gitlab:project_role:40:developer"),
    uid="u1",
    extra=(("agent.gitlab.com/id", ("7",)), ("agent.gitlab.com/username", ("mia", "m"))),
)


def packed(message: Message) -> Any:
    extra = Any()
    extra.Pack(message)
    return extra


def test_the_agent_itself_is_said_by_saying_nothing():
    assert extra_of(AsAgent()) is None


@pytest.mark.parametrize("identity", [MIA, AsUser(username="u")])
def test_a_user_comes_back_as_they_went(identity: Identity):
    extra = extra_of(identity)
    assert extra is not None
    assert identity_of_extra(extra) == identity


@pytest.mark.parametrize(
    "nothing", [HeaderExtra(), HeaderExtra(imp_config=ImpersonationConfig())], ids=["absent", "empty"]
)
def test_an_empty_configuration_is_an_absent_one(nothing: HeaderExtra):
    assert identity_of_extra(packed(nothing)) == AsAgent()


@pytest.mark.parametrize(
    "config",
    [
        ImpersonationConfig(groups=["system:masters"]),
        ImpersonationConfig(uid="u"),
        ImpersonationConfig(extra=[ExtraKeyVal(key="k", val=["v"])]),
        ImpersonationConfig.FromString(b"\x2a\x01x"),  # a field we do not know: it means somebody
        ImpersonationConfig(username="a\r\nImpersonate-Group: system:masters"),
        ImpersonationConfig(username="ü"),
    ],
    ids=range(6),
)
def test_nobody_is_not_the_agent(config: ImpersonationConfig):
    with pytest.raises(RpcError) as caught:
        identity_of_extra(packed(HeaderExtra(imp_config=config)))
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "extra",
    [
        Any(),
        packed(gitlab_access.HeaderExtra(module_name="flux")),
        Any(type_url="type.googleapis.com/gitlab.agent.kubernetes_api.rpc.HeaderExtra", value=b"\xff"),
    ],
    ids=range(3),
)
def test_something_else_beside_the_request_is_refused(extra: Any):
    with pytest.raises(RpcError) as caught:
        identity_of_extra(extra)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


def said(**headers: list[str]) -> dict[str, Values]:
    """Headers as they come over the wire, with `_` for each hyphen."""
    return {name.replace("_", "-"): Values(value=values) for name, values in headers.items()}


def test_headers_of_identities_are_known_in_any_spelling():
    headers = said(
        Impersonate_User=["a"], IMPERSONATE_EXTRA_X=["b"], X_Impersonate_User=["c"], Accept=["*/*"]
    )
    assert names_of_identities(headers) == {"impersonate-user", "impersonate-extra-x"}


def test_where_the_agent_itself_acts_the_client_may_name_somebody():
    headers = said(Impersonate_User=["alice"], Impersonate_Group=["a", "b"], Accept=["*/*"])
    headers["Impersonate-Extra-Example.com%2freason"] = Values(value=["why"])
    assert acting(AsAgent(), headers) == AsUser(
        username="alice", groups=("a", "b"), extra=(("example.com/reason", ("why",)),)
    )
    assert acting(AsAgent(), said(Accept=["*/*"])) == AsAgent()


@pytest.mark.parametrize("header", ["Impersonate_User", "Impersonate_Group"])
def test_whoever_is_named_already_names_nobody_in_gitlabs_words(header: str):
    with pytest.raises(RpcError) as caught:
        acting(MIA, said(**{header: ["alice"]}))
    assert caught.value.code is StatusCode.UNAVAILABLE
    assert str(caught.value) == (
        "gRPC -> HTTP: nested impersonation is not supported - agent is already configured to impersonate an identity"
    )


@pytest.mark.parametrize(
    "headers",
    [
        said(Impersonate_Group=["system:masters"]),
        said(Impersonate_User=["a", "b"]),
        said(Impersonate_User=["a"], impersonate_user=["b"]),
        said(Impersonate_User=["a"], Impersonate_Shoe=["b"]),
        said(Impersonate_User=["a\r\nImpersonate-Group: system:masters"]),
    ],
    ids=range(5),
)
def test_headers_that_name_nobody_or_several_are_refused(headers: dict[str, Values]):
    with pytest.raises(RpcError) as caught:
        acting(AsAgent(), headers)
    assert caught.value.code is StatusCode.INVALID_ARGUMENT
