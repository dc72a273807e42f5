"""Requests: understood, or refused with the status they deserve."""

from __future__ import annotations

import pytest

from kasbah.kas.gitops.request import wanted_of
from kasbah.kas.gitops.settings import Settings
from kasbah.kas.hub_client.records import Ref
from kasbah.wire.pb.gitlab.agent.gitops.rpc.rpc_pb2 import GitRefCF, ObjectsToSynchronizeRequest, PathCF
from kasbah.wire.rpc import RpcError, StatusCode

ALL = PathCF(glob="/**/*.yaml")


def request(**changes: object) -> ObjectsToSynchronizeRequest:
    return ObjectsToSynchronizeRequest(**({"project_id": "ops/apps", "paths": [ALL]} | changes))


def test_a_whole_request_is_understood():
    wanted = wanted_of(
        request(
            commit_id="c",
            ref=GitRefCF(tag="v1"),
            paths=[PathCF(file="/b.yaml"), PathCF(glob="*.yaml"), PathCF(file="a/c.yaml")],
        ),
        Settings(),
    )
    assert (wanted.project_path, wanted.commit_id, wanted.ref) == ("ops/apps", "c", Ref("tag", "v1"))
    assert [glob.text for glob in wanted.globs] == ["*.yaml"]
    assert wanted.files == ("b.yaml", "a/c.yaml")


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        (None, None),
        (GitRefCF(branch="main"), Ref("branch", "main")),
        (GitRefCF(commit="abc"), Ref("commit", "abc")),
    ],
    ids=str,
)
def test_a_ref_is_one_of_three_or_the_default_branch(ref, expected):
    assert wanted_of(request(ref=ref), Settings()).ref == expected


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"project_id": ""}, StatusCode.INVALID_ARGUMENT),
        ({"project_id": "x" * 1025}, StatusCode.INVALID_ARGUMENT),
        ({"commit_id": "x" * 1025}, StatusCode.INVALID_ARGUMENT),
        ({"paths": []}, StatusCode.INVALID_ARGUMENT),
        ({"paths": [ALL] * 101}, StatusCode.INVALID_ARGUMENT),
        ({"paths": [PathCF()]}, StatusCode.INVALID_ARGUMENT),
        ({"paths": [ALL, PathCF(glob="")]}, StatusCode.INVALID_ARGUMENT),
        ({"paths": [PathCF(file="")]}, StatusCode.INVALID_ARGUMENT),
        ({"paths": [PathCF(glob="*" * 1025)]}, StatusCode.INVALID_ARGUMENT),
        ({"ref": GitRefCF()}, StatusCode.INVALID_ARGUMENT),
        ({"ref": GitRefCF(branch="")}, StatusCode.INVALID_ARGUMENT),
        ({"ref": GitRefCF(tag="x" * 1025)}, StatusCode.INVALID_ARGUMENT),
        ({"paths": [PathCF(glob="[")]}, StatusCode.FAILED_PRECONDITION),
    ],
)
def test_a_request_that_is_wrong_is_refused(changes, code):
    with pytest.raises(RpcError) as caught:
        wanted_of(request(**changes), Settings())
    assert caught.value.code == code


def test_of_a_field_said_twice_the_last_counts():
    doubled = (
        request().SerializeToString() + ObjectsToSynchronizeRequest(project_id="b/c").SerializeToString()
    )
    assert wanted_of(ObjectsToSynchronizeRequest.FromString(doubled), Settings()).project_path == "b/c"
