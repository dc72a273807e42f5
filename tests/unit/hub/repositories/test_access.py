"""Who may pull and push."""

from __future__ import annotations

import pytest

from kasbah.gitrepo.process import GitService
from kasbah.gitrepo.push_request import RefUpdate
from kasbah.hub.repositories import access
from kasbah.hub.repositories.access import (
    AccessRefusedError,
    CredentialsNeededError,
    ProjectHiddenError,
    Standing,
)
from tests.doubles.git_accounts import make_protected

PULL, PUSH = GitService.UPLOAD_PACK, GitService.RECEIVE_PACK


def standing(
    *scopes: str, level: int = 50, can_read: bool = True, private: bool = True, archived: bool = False
) -> Standing:
    return Standing(
        scopes=frozenset(scopes), can_read=can_read, level=level, private=private, archived=archived
    )


def anonymous(*, can_read: bool) -> Standing:
    return Standing(scopes=None, can_read=can_read, level=0, private=not can_read, archived=False)


def test_nobody_unknown_pushes_and_open_projects_are_pulled():
    access.check(PULL, anonymous(can_read=True))
    for service, can_read in [(PUSH, True), (PUSH, False), (PULL, False)]:
        with pytest.raises(CredentialsNeededError, match="HTTP Basic: Access denied"):
            access.check(service, anonymous(can_read=can_read))


@pytest.mark.parametrize("scope", ["api", "read_repository", "write_repository"])
def test_each_of_these_scopes_pulls(scope):
    access.check(PULL, standing(scope))


@pytest.mark.parametrize("scope", ["api", "write_repository"])
def test_each_of_these_scopes_pushes(scope):
    access.check(PUSH, standing(scope))


@pytest.mark.parametrize("service", [PULL, PUSH])
@pytest.mark.parametrize("scope", ["read_api", "read_user", "k8s_proxy", "sudo"])
def test_a_token_for_something_else_is_no_credential_here(service, scope):
    with pytest.raises(CredentialsNeededError):
        access.check(service, standing(scope))


def test_a_token_for_reading_does_not_push():
    with pytest.raises(AccessRefusedError, match="upload code"):
        access.check(PUSH, standing("read_repository"))


@pytest.mark.parametrize("service", [PULL, PUSH])
def test_a_project_that_the_caller_may_not_see_is_not_there(service):
    with pytest.raises(ProjectHiddenError):
        access.check(service, standing("api", level=0, can_read=False))


@pytest.mark.parametrize(("level", "allowed"), [(10, False), (15, False), (20, True), (30, True)])
def test_private_code_is_pulled_from_reporter_on(level, allowed):
    if allowed:
        access.check(PULL, standing("api", level=level))
    else:
        with pytest.raises(AccessRefusedError, match="download code"):
            access.check(PULL, standing("api", level=level))


def test_open_code_is_pulled_without_a_role():
    access.check(PULL, standing("api", level=0, private=False))


@pytest.mark.parametrize(("level", "allowed"), [(0, False), (20, False), (30, True), (50, True)])
def test_code_is_pushed_from_developer_on(level, allowed):
    if allowed:
        access.check(PUSH, standing("api", level=level, private=False))
    else:
        with pytest.raises(AccessRefusedError, match="push code"):
            access.check(PUSH, standing("api", level=level, private=False))


def test_an_archived_project_is_pulled_and_not_pushed_to():
    access.check(PULL, standing("api", archived=True))
    with pytest.raises(AccessRefusedError):
        access.check(PUSH, standing("api", archived=True))


def update(ref: str, new: str = "a" * 40) -> RefUpdate:
    return RefUpdate(ref=ref.encode(), old="b" * 40, new=new)


@pytest.mark.parametrize(
    ("updates", "level", "expected"),
    [
        ([update("refs/heads/topic")], 30, ""),
        ([update("refs/heads/main")], 30, "push code to protected branches"),
        ([update("refs/heads/topic"), update("refs/heads/release/1")], 30, "push code to protected"),
        ([update("refs/heads/main")], 40, ""),
        ([update("refs/tags/main")], 30, ""),
        ([update("refs/heads/open")], 30, ""),
        ([update("refs/heads/merged")], 40, "push code to protected"),
        ([update("refs/heads/topic", "0" * 40)], 30, ""),
        ([update("refs/heads/main", "0" * 40)], 50, "delete protected branches"),
    ],
)
def test_a_protected_branch_takes_pushes_of_those_whom_a_rule_lets_push(updates, level, expected):
    rules = [
        make_protected("main"),
        make_protected("release/*"),
        make_protected("open", push=30),
        make_protected("merged", push=0, merge=30),
    ]
    reason = access.refusal(updates, rules, level=level, is_admin=False)
    assert expected in reason
    assert bool(reason) == bool(expected)


@pytest.mark.parametrize(("level", "is_admin"), [(30, False), (40, False), (0, True)])
def test_a_branch_takes_pushes_as_its_rules_say(level, is_admin):
    rules = [make_protected("main"), make_protected("open", push=30)]
    asked = {"level": level, "is_admin": is_admin}
    assert access.lets_push("main", rules, **asked) is (level == 40 or is_admin)
    assert access.lets_push("open", rules, **asked)
    assert access.lets_push("topic", rules, **asked)


def test_a_name_that_is_no_text_is_protected_by_what_fits_everything():
    strange = RefUpdate(ref=b"refs/heads/\xff", old="b" * 40, new="a" * 40)
    assert access.refusal([strange], [make_protected("*")], level=30, is_admin=False) != ""
